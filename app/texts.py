"""The words that users read, ready to be translated.

Every text of the app goes through `_`. A translation is a gettext catalogue
`assets/locale/LANGUAGE/LC_MESSAGES/headlight.mo`; without one the English text stands.
"""

import gettext
import os
import re

import vizcore

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|$~:&^=])")


def _catalogue() -> gettext.NullTranslations:
    languages = [language for language in [os.environ.get("HEADLIGHT_LANGUAGE")] if language]
    folder = vizcore.asset("locale")
    return gettext.translation("headlight", folder, languages=languages or None, fallback=True)


_ = _catalogue().gettext


def literal(text: str) -> str:
    """Text of somebody else's, such as a token, so that Markdown shows it as it is."""
    return _MARKDOWN.sub(r"\\\1", text)


def code(text: str) -> str:
    """Somebody else's text as a span of code: Markdown reads nothing in it, spaces stay visible."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}"
