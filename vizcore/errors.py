"""Every error that a user of Headlight can meet.

Each one is a `VizcoreError` and, beside it, the built-in exception that fits, so that both
`except vizcore.VizcoreError` and the usual `except ValueError` work. A message says what is
wrong, with the numbers, and what to do about it. Not for programming mistakes inside the
library: those stay plain Python exceptions.

    VizcoreError
    ├── TextError (ValueError)              the text cannot be run as it is
    │   ├── EmptyTextError                  nothing in it that the model could read
    │   ├── TextTooLongError                more tokens than the model's context holds
    │   └── UnencodableTextError            a lone surrogate or a NUL character
    ├── ModelNotFoundError (LookupError)    no such catalogue name, folder or Hub id
    ├── ModelFilesError (ValueError)        the files are there but cannot be used
    │   ├── UnsafeWeightsError              a format that can carry code, such as pickle
    │   └── VerificationError               the bytes are not those that the catalogue names
    ├── FetchError (OSError)                the package client or the Hub did not deliver
    ├── CaptureError (ValueError)           this network's attention cannot be captured
    ├── MissingHeadError (ValueError)       the model has no language-model head, so no logits
    ├── SelectionError (LookupError)        a layer, head, position or kind that is not there
    ├── DeviceError (ValueError)            PyTorch has no such device here
    ├── DataError (ValueError)              a file to train on is empty or malformed
    ├── TrainingError (RuntimeError)        a training run cannot begin, or cannot go on
    └── ShapeError (ValueError)             two arrays whose shapes do not fit together
"""


class VizcoreError(Exception):
    """The root of all errors that Headlight raises on purpose."""


class TextError(VizcoreError, ValueError):
    """The text cannot be run as it is."""


class EmptyTextError(TextError):
    """The text holds nothing that the model could read. Raised before anything is run."""


class TextTooLongError(TextError):
    """The text has more tokens than the model's context holds. Raised before anything is run."""


class UnencodableTextError(TextError):
    """The text holds a lone surrogate or a NUL character, which no tokenizer can read."""


class ModelNotFoundError(VizcoreError, LookupError):
    """There is no catalogue name, folder or Hub repository of that name."""


class ModelFilesError(VizcoreError, ValueError):
    """The model's files cannot be used: one is missing, broken, or of a wrong kind."""


class UnsafeWeightsError(ModelFilesError):
    """The weights are in a format that can carry code (pickle). Nothing of it was read."""


class VerificationError(ModelFilesError):
    """What was fetched is not, byte for byte, what the catalogue names. Nothing of it is kept."""


class FetchError(VizcoreError, OSError):
    """The package client or the Hub did not deliver. Nothing was changed."""


class CaptureError(VizcoreError, ValueError):
    """This network has no attention weights, or none that can be captured exactly."""


class MissingHeadError(VizcoreError, ValueError):
    """The model has no language-model head, so it has no logits and predicts no token."""


class SelectionError(VizcoreError, LookupError):
    """A layer, head, position or kind of attention was asked for that this model does not have."""


class DeviceError(VizcoreError, ValueError):
    """PyTorch cannot use the device that the network should run on."""


class DataError(VizcoreError, ValueError):
    """A file to train on is empty or malformed. The message names the line."""


class TrainingError(VizcoreError, RuntimeError):
    """A training run cannot begin or go on. What it had saved stays, and is named."""


class ShapeError(VizcoreError, ValueError):
    """Two arrays were given whose shapes do not fit together. The message prints both."""
