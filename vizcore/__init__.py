"""Headlight's library: see what every attention head of a Transformer looks at.

    import vizcore
    trace = vizcore.load("smollm2-135m").trace("The cat sat")
    trace.attention(layer=3, head=2)

The names below are public, and nothing else is. They are imported when they are first used, so
that `import vizcore` is quick and needs neither PyTorch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vizcore.homes import HOME

if TYPE_CHECKING:
    from vizcore.attention_calls import AttentionCall
    from vizcore.attribution import attributions
    from vizcore.attribution_patching import patching_estimates
    from vizcore.attribution_targets import AttributionTarget
    from vizcore.attribution_tests import Faithfulness, faithfulness
    from vizcore.beams import BeamNode, BeamTree, beam_tree
    from vizcore.benchmark_files import Benchmark, parse_benchmark, read_benchmark
    from vizcore.cache import cache_folder
    from vizcore.catalog import CatalogEntry, entries
    from vizcore.combine import max_map, mean_map, mean_over_texts, without_keys
    from vizcore.comparison import difference, differences
    from vizcore.direct_attribution import logit_attribution
    from vizcore.edits import AblateHead, AblateLayer, KnockOut, Patch, Scale, SetPattern, Steer
    from vizcore.effect_metrics import KLDivergence, LogitDifference, LogLikelihood, LogProbability
    from vizcore.encodings import (
        AlibiPositions,
        BiasPositions,
        PositionalEncoding,
        PositionalEncodings,
        PositionTable,
        RotaryPositions,
    )
    from vizcore.errors import (
        CaptureError,
        DataError,
        DeviceError,
        EmptyTextError,
        FetchError,
        MissingHeadError,
        ModelFilesError,
        ModelNotFoundError,
        SelectionError,
        ShapeError,
        TextError,
        TextTooLongError,
        TrainingError,
        UnencodableTextError,
        UnsafeWeightsError,
        VerificationError,
        VizcoreError,
    )
    from vizcore.evaluation import EvaluationStatus, evaluate, evaluation_stream
    from vizcore.fetch import is_fetched
    from vizcore.frames import Frame, head_to_watch, playback
    from vizcore.generation import GenerationStep, generate
    from vizcore.head_metrics import head_scores
    from vizcore.interventions import (
        ablation_effects,
        ablation_effects_stream,
        edit_effects,
        knock_out_effects,
        knock_out_effects_stream,
    )
    from vizcore.layer_vectors import layer_features
    from vizcore.lenses import LogitLens, logit_lens
    from vizcore.likelihood import (
        score,
        score_stream,
        surprisal,
        surprisal_stream,
        trace_surprisal,
    )
    from vizcore.loading import load
    from vizcore.long_text import TextLikelihood, text_likelihood
    from vizcore.map_metrics import map_scores
    from vizcore.maps import AttentionMap, HasMaps
    from vizcore.metrics import wilson_interval
    from vizcore.model import Model
    from vizcore.nbest_files import NBest, parse_nbest, read_nbest
    from vizcore.overview import head_overview
    from vizcore.paired import PairedTest, compare_correct, paired_table
    from vizcore.patching import patching_effects, patching_effects_stream
    from vizcore.patterns import Pattern, describe, is_telling
    from vizcore.positional import positions
    from vizcore.promotions import promoted_tokens
    from vizcore.prompt_effects import (
        Prompt,
        ablated_prompts,
        mean_effects,
        patched_prompts,
        read_prompts,
    )
    from vizcore.query_key import QueriesAndKeys, QueryScores, queries_and_keys
    from vizcore.records import TrainingRecord, training_record
    from vizcore.rescoring import Rescoring, error_rates, rescore
    from vizcore.resources import asset
    from vizcore.results import Evaluation, read_evaluation
    from vizcore.rollouts import attention_flow, rollout, rollout_layers
    from vizcore.sampling import Sampling, sampling_table
    from vizcore.score_tables import accuracy_table, metric_table
    from vizcore.sentence_columns import SideBySide, side_by_side
    from vizcore.sentence_pairs import minimal_pairs
    from vizcore.spans import by_sentences, by_spans, by_words
    from vizcore.steps import AttentionSteps, attention_steps
    from vizcore.tap import Recorder
    from vizcore.tasks import Task
    from vizcore.token_contributions import Contributions, contributions
    from vizcore.trace import Trace
    from vizcore.training import train
    from vizcore.training_settings import TrainingSettings, TrainingStatus
    from vizcore.transcript_errors import WordErrors, word_errors
    from vizcore.translation import Translation, translate
    from vizcore.tuned_lens import TunedLens, read_tuned_lens
    from vizcore.tuned_lens_fit import fit_tuned_lens
    from vizcore.views.alternatives_view import alternatives_view
    from vizcore.views.attribution_figures import faithfulness_curves
    from vizcore.views.attribution_view import attribution_view
    from vizcore.views.effect_figures import effect_heatmap
    from vizcore.views.figures import heatmap
    from vizcore.views.flow_view import flow_view
    from vizcore.views.head_view import head_view
    from vizcore.views.map_tiles import MapRegion
    from vizcore.views.model_view import model_view
    from vizcore.views.neuron_view import neuron_view
    from vizcore.views.overviews import Overview
    from vizcore.views.page import View
    from vizcore.views.position_figures import (
        position_biases,
        position_heatmap,
        position_products,
        position_similarity,
        position_waves,
        rotary_dial,
        rotary_factors,
    )
    from vizcore.views.prediction_figures import lens_heatmap, rank_curve, sampling_bars
    from vizcore.views.scatter_view import head_scatter
    from vizcore.views.score_figures import accuracy_chart, layer_curves
    from vizcore.views.sentence_figures import sentence_curves
    from vizcore.views.sentences_view import sentences_view
    from vizcore.views.steps_view import steps_view
    from vizcore.views.text_view import text_view
    from vizcore.views.tile_view import tile_view
    from vizcore.views.tokens_view import tokens_view
    from vizcore.views.training_view import training_view
    from vizcore.views.tree_figures import beam_figure
    from vizcore.views.weight_figures import error_rate_steps, weight_lines
    from vizcore.weighted import weighted_norms, weighted_norms_of_heads
    from vizcore.words import Words

__version__ = "0.1.0"

__all__ = [
    "AblateHead",
    "AblateLayer",
    "AlibiPositions",
    "AttentionCall",
    "AttentionMap",
    "AttentionSteps",
    "AttributionTarget",
    "BeamNode",
    "BeamTree",
    "Benchmark",
    "BiasPositions",
    "CaptureError",
    "CatalogEntry",
    "Contributions",
    "DataError",
    "DeviceError",
    "EmptyTextError",
    "Evaluation",
    "EvaluationStatus",
    "Faithfulness",
    "FetchError",
    "Frame",
    "GenerationStep",
    "HasMaps",
    "KLDivergence",
    "KnockOut",
    "LogLikelihood",
    "LogProbability",
    "LogitDifference",
    "LogitLens",
    "MapRegion",
    "MissingHeadError",
    "Model",
    "ModelFilesError",
    "ModelNotFoundError",
    "NBest",
    "Overview",
    "PairedTest",
    "Patch",
    "Pattern",
    "PositionTable",
    "PositionalEncoding",
    "PositionalEncodings",
    "Prompt",
    "QueriesAndKeys",
    "QueryScores",
    "Recorder",
    "Rescoring",
    "RotaryPositions",
    "Sampling",
    "Scale",
    "SelectionError",
    "SetPattern",
    "ShapeError",
    "SideBySide",
    "Steer",
    "Task",
    "TextError",
    "TextLikelihood",
    "TextTooLongError",
    "Trace",
    "TrainingError",
    "TrainingRecord",
    "TrainingSettings",
    "TrainingStatus",
    "Translation",
    "TunedLens",
    "UnencodableTextError",
    "UnsafeWeightsError",
    "VerificationError",
    "View",
    "VizcoreError",
    "WordErrors",
    "Words",
    "ablated_prompts",
    "ablation_effects",
    "ablation_effects_stream",
    "accuracy_chart",
    "accuracy_table",
    "alternatives_view",
    "asset",
    "attention_flow",
    "attention_steps",
    "attribution_view",
    "attributions",
    "beam_figure",
    "beam_tree",
    "by_sentences",
    "by_spans",
    "by_words",
    "cache_folder",
    "compare_correct",
    "contributions",
    "describe",
    "difference",
    "differences",
    "edit_effects",
    "effect_heatmap",
    "entries",
    "error_rate_steps",
    "error_rates",
    "evaluate",
    "evaluation_stream",
    "faithfulness",
    "faithfulness_curves",
    "fit_tuned_lens",
    "flow_view",
    "generate",
    "head_overview",
    "head_scatter",
    "head_scores",
    "head_to_watch",
    "head_view",
    "heatmap",
    "is_fetched",
    "is_telling",
    "knock_out_effects",
    "knock_out_effects_stream",
    "layer_curves",
    "layer_features",
    "lens_heatmap",
    "load",
    "logit_attribution",
    "logit_lens",
    "map_scores",
    "max_map",
    "mean_effects",
    "mean_map",
    "mean_over_texts",
    "metric_table",
    "minimal_pairs",
    "model_view",
    "neuron_view",
    "paired_table",
    "parse_benchmark",
    "parse_nbest",
    "patched_prompts",
    "patching_effects",
    "patching_effects_stream",
    "patching_estimates",
    "playback",
    "position_biases",
    "position_heatmap",
    "position_products",
    "position_similarity",
    "position_waves",
    "positions",
    "promoted_tokens",
    "queries_and_keys",
    "rank_curve",
    "read_benchmark",
    "read_evaluation",
    "read_nbest",
    "read_prompts",
    "read_tuned_lens",
    "rescore",
    "rollout",
    "rollout_layers",
    "rotary_dial",
    "rotary_factors",
    "sampling_bars",
    "sampling_table",
    "score",
    "score_stream",
    "sentence_curves",
    "sentences_view",
    "side_by_side",
    "steps_view",
    "surprisal",
    "surprisal_stream",
    "text_likelihood",
    "text_view",
    "tile_view",
    "tokens_view",
    "trace_surprisal",
    "train",
    "training_record",
    "training_view",
    "translate",
    "weight_lines",
    "weighted_norms",
    "weighted_norms_of_heads",
    "wilson_interval",
    "without_keys",
    "word_errors",
]

_MODULE_OF = {name: module for module, names in HOME.items() for name in names}
_MODULE_OF |= {name: "vizcore.errors" for name in __all__ if name.endswith("Error")}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'vizcore' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
