"""`Model`: which texts it takes, how long they may be, and what a target becomes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

import vizcore
from tests.support import tiny


def tiny_model(model_type: str, *, tokenizer: Any = "its own", **changes: Any) -> vizcore.Model:
    network = tiny.tiny_network(model_type, **changes)
    if tokenizer == "its own":
        tokenizer = tiny.tokenizer_for(network)
    return vizcore.Model.of(network, tokenizer, name=model_type)


@pytest.fixture(scope="module")
def gpt2() -> vizcore.Model:
    return tiny_model("gpt2")


@pytest.fixture(scope="module")
def bert() -> vizcore.Model:
    return tiny_model("bert")


@pytest.fixture(scope="module")
def t5() -> vizcore.Model:
    return tiny_model("t5", decoder_start_token_id=0)


# --- What a model knows about itself --------------------------------------------------------------


def test_a_model_tells_its_kind_and_size(gpt2: vizcore.Model, t5: vizcore.Model) -> None:
    assert (gpt2.name, gpt2.kind, gpt2.kinds) == ("gpt2", "decoder", ("decoder",))
    assert (gpt2.n_layers, gpt2.n_heads, gpt2.capture, gpt2.has_head) == (3, 4, "tap", True)
    assert (t5.kind, t5.kinds) == ("encoder-decoder", ("encoder", "decoder", "cross"))


def test_an_encoder_decoder_counts_its_decoders_layers(t5: vizcore.Model) -> None:
    assert t5.n_layers == 2
    assert t5.layers() == t5.layers("cross") == (0, 1)
    assert t5.layers("encoder") == (0, 1, 2)


def test_a_network_in_memory_is_named_after_its_class() -> None:
    assert vizcore.Model.of(tiny.tiny_network("gpt2"), None).name == "GPT2LMHeadModel"


# --- How long a text may be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "sizes", "limit"),
    [
        ("gpt2", {"max_position_embeddings": 50}, 50),
        ("llama", {"max_position_embeddings": 50}, 50),
        ("bert", {"max_position_embeddings": 50}, 50),
        ("opt", {"max_position_embeddings": 50}, 50),
        ("roberta", {"max_position_embeddings": 50, "pad_token_id": 1}, 48),
        ("mpnet", {"max_position_embeddings": 50, "pad_token_id": 1}, 48),
        ("longformer", {"max_position_embeddings": 50, "pad_token_id": 1}, 48),
        ("mpt", {"max_seq_len": 50}, 50),
        ("bart", {"max_position_embeddings": 50}, 50),
        ("led", {"max_encoder_position_embeddings": 48}, 48),
        ("t5", {}, None),
        ("bloom", {}, None),
        ("xlnet", {}, None),
    ],
)
def test_the_longest_text_is_what_the_network_can_read(
    model_type: str, sizes: dict[str, int], limit: int | None
) -> None:
    model = tiny_model(model_type, tokenizer=None, **sizes)
    assert model.max_tokens == limit
    target = [1, 7] if model.kind == "encoder-decoder" else None
    longest = [5 + place % 200 for place in range(limit or 90)]
    trace = model.trace(longest, target)
    assert len(trace.source_ids) == len(longest)
    assert trace.logits.isfinite().all()
    if limit is not None:
        with pytest.raises(vizcore.TextTooLongError):
            model.trace([*longest, 5], target)


def test_a_tokenizers_limit_holds_where_the_network_states_none() -> None:
    tokenizer = tiny.byte_level_tokenizer()
    tokenizer.model_max_length = 30
    assert tiny_model("bloom", tokenizer=tokenizer).max_tokens == 30
    assert tiny_model("t5", tokenizer=tokenizer).max_tokens is None


def test_too_long_a_text_errors_with_both_numbers(gpt2: vizcore.Model) -> None:
    with pytest.raises(vizcore.TextTooLongError) as error:
        gpt2.trace("the cat " * 50)
    n_tokens = len(tiny.byte_level_tokenizer()("the cat " * 50)["input_ids"])
    assert str(error.value) == (
        f"The text has {n_tokens} tokens, and gpt2 reads at most 64. Shorten it by "
        f"{n_tokens - 64} tokens, or run it in parts."
    )


def test_too_long_a_target_errors_as_too_long_a_source_does() -> None:
    led = tiny_model("led", max_decoder_position_embeddings=20)
    assert led.max_tokens == 64
    with pytest.raises(vizcore.TextTooLongError) as error:
        led.trace([5, 6, 7], list(range(5, 30)))
    assert str(error.value) == (
        "The text has 25 tokens, and led reads at most 20. Shorten it by 5 tokens, or run it in "
        "parts."
    )


# --- Which texts it takes -------------------------------------------------------------------------


def test_ids_are_run_as_they_are(gpt2: vizcore.Model) -> None:
    assert gpt2.trace([7, 299, 0]).token_ids == [7, 299, 0]
    assert gpt2.trace((7, 8)).token_ids == [7, 8]


def test_a_texts_ids_are_the_tokenizers(bert: vizcore.Model) -> None:
    tokenizer: Any = bert.tokenizer
    trace = bert.trace("The cat")
    assert trace.token_ids == tokenizer("The cat")["input_ids"]
    assert trace.tokens[0] == "[CLS]"
    assert bert.special_positions(trace.token_ids) == [0, len(trace.tokens) - 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The text is empty. Type a word or two."),
        ([], "There are no token ids. Give at least one."),
    ],
)
def test_an_empty_text_errors(text: str | list[int], message: str, gpt2: vizcore.Model) -> None:
    with pytest.raises(vizcore.EmptyTextError) as error:
        gpt2.trace(text)
    assert str(error.value) == message


@pytest.mark.parametrize("text", [" ", " \n\t ", "\u200b", "\u202e\ufeff"])
def test_a_text_of_nothing_that_can_be_read_errors(text: str, bert: vizcore.Model) -> None:
    with pytest.raises(vizcore.EmptyTextError) as error:
        bert.trace(text)
    assert str(error.value) == (
        "There is nothing in this text that bert could read. Type a word or two."
    )


def test_a_space_is_a_text_where_the_tokenizer_has_a_token_for_it(gpt2: vizcore.Model) -> None:
    assert gpt2.trace(" ").tokens == ["·"]


def test_a_special_token_written_out_is_a_text(bert: vizcore.Model) -> None:
    assert bert.trace("[MASK]").tokens == ["[CLS]", "[MASK]", "[SEP]"]


def test_half_a_surrogate_pair_errors_with_its_place(gpt2: vizcore.Model) -> None:
    with pytest.raises(vizcore.UnencodableTextError) as error:
        gpt2.trace("abc\ud83d")
    assert str(error.value) == (
        "Character 3 is half of a surrogate pair (U+D83D), which is no text. Remove it; it is "
        "often left over from cutting an emoji in two."
    )


def test_nul_errors_with_its_place(gpt2: vizcore.Model) -> None:
    with pytest.raises(vizcore.UnencodableTextError) as error:
        gpt2.trace("a\0b")
    assert str(error.value) == (
        "Character 1 is NUL (U+0000). Remove it; texts that hold it are usually binary files."
    )


@pytest.mark.parametrize("token_id", [300, -1])
def test_an_id_outside_the_vocabulary_errors(token_id: int, gpt2: vizcore.Model) -> None:
    with pytest.raises(vizcore.SelectionError) as error:
        gpt2.trace([5, token_id])
    assert str(error.value) == (
        f"Token id {token_id} is not in the vocabulary: ids go from 0 to 299."
    )


def test_all_of_them_are_value_or_lookup_errors_too(gpt2: vizcore.Model) -> None:
    with pytest.raises(ValueError, match="empty"):
        gpt2.trace("")
    with pytest.raises(LookupError, match="vocabulary"):
        gpt2.trace([10**6])


@pytest.mark.parametrize("target", ["the mat", [5, 6]])
def test_a_target_for_a_model_of_one_stack_errors(
    target: str | list[int], gpt2: vizcore.Model
) -> None:
    with pytest.raises(vizcore.TextError) as error:
        gpt2.trace("the cat", target)
    assert str(error.value) == (
        "gpt2 has one stack, so it takes one text: leave out `target`, or join the two texts "
        "yourself."
    )


# --- Targets --------------------------------------------------------------------------------------


def test_a_targets_ids_are_what_the_decoder_reads(t5: vizcore.Model) -> None:
    assert t5.trace([5, 6, 7], [0, 9, 11]).target_ids == [0, 9, 11]


@pytest.mark.parametrize("model_type", ["t5", "bart", "marian", "pegasus", "m2m_100", "blenderbot"])
def test_a_target_text_is_shifted_right_as_in_training(model_type: str) -> None:
    model = tiny_model(model_type, decoder_start_token_id=0)
    tokenizer: Any = model.tokenizer
    labels = tokenizer(text_target="the mat was shut")["input_ids"]
    assert labels[-1] == 2
    assert model.trace("the cat", "the mat was shut").target_ids == [0, *labels[:-1]]


def test_nothing_of_a_target_is_lost_if_its_tokenizer_adds_no_end() -> None:
    model = tiny_model("bart", tokenizer=tiny.byte_level_tokenizer(), decoder_start_token_id=2)
    trace = model.trace("the cat", "the mat")
    assert trace.target_tokens is not None
    assert "".join(trace.target_tokens) == "</s>the·mat"


def test_without_a_stated_start_the_decoder_starts_as_generation_does() -> None:
    model = tiny_model("t5", pad_token_id=0)
    assert model.trace("the cat", "the mat").target_ids[0] == 0  # type: ignore[index]


def test_no_start_to_be_found_errors() -> None:
    model = tiny_model("bart", decoder_start_token_id=None, bos_token_id=None, pad_token_id=None)
    generation: Any = model.network.generation_config
    generation.decoder_start_token_id = generation.bos_token_id = generation.pad_token_id = None
    with pytest.raises(vizcore.ModelFilesError) as error:
        model.trace("the cat", "the mat")
    assert str(error.value) == (
        "The configuration of bart has no decoder_start_token_id, so it is not known what its "
        "decoder reads first. Give the target as token ids."
    )


@pytest.mark.parametrize("model_type", ["t5", "bart", "marian", "led"])
def test_without_a_target_the_decoder_writes_the_likeliest(model_type: str) -> None:
    model = tiny_model(model_type, decoder_start_token_id=0)
    source = [5, 6, 7, 8, 9]
    network: Any = model.network
    most = 200 if model.max_tokens is None else 63
    written = network.generate(
        torch.tensor([source]), do_sample=False, num_beams=1, max_new_tokens=most
    )[0].tolist()
    if written[-1] == 2:  # what ends the text is written, and never read
        written.pop()
    assert model.trace(source).target_ids == written
    assert len(written) > 1


def test_what_the_decoder_writes_is_at_each_step_the_likeliest(t5: vizcore.Model) -> None:
    trace = t5.trace("the cat looked at the door")
    assert trace.target_ids is not None
    assert trace.logits.argmax(dim=-1)[:-1].tolist() == trace.target_ids[1:]


# --- Many at once ---------------------------------------------------------------------------------


class LanguageTokenizer(PreTrainedTokenizerFast):
    """Marks a target with a language by writing on itself, as mBART's and NLLB's do."""

    def _switch_to_input_mode(self) -> None:
        self._mark("<s>", 1)

    def _switch_to_target_mode(self) -> None:
        self._mark("</s>", 2)

    def _mark(self, token: str, token_id: int) -> None:
        from tokenizers.processors import TemplateProcessing

        self.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{token} $A", special_tokens=[(token, token_id)]
        )


def test_sources_and_targets_are_encoded_at_once_without_mixing(t5: vizcore.Model) -> None:
    plain = tiny.byte_level_tokenizer()
    tokenizer = LanguageTokenizer(
        tokenizer_object=plain.backend_tokenizer, bos_token="<s>", eos_token="</s>"
    )
    model = vizcore.Model.of(t5.network, tokenizer)
    start = threading.Barrier(8)

    def encode_often(place: int) -> set[int]:
        start.wait()
        target = bool(place % 2)
        return {model.encode("the cat " * 5, target=target)[0] for _ in range(50)}

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(encode_often, range(8))) == [{1}, {2}] * 4


def test_a_tokenizer_that_cuts_and_fills_texts_does_neither(tmp_path: Path) -> None:
    """MiniLM's asks to be cut at 128 tokens and filled up, which nobody wants to look at."""
    tokenizer = tiny.word_piece_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=30)
    tokenizer.save_pretrained(tmp_path)
    tiny.save(tiny.tiny_network("bert"), tmp_path, tokenizer=tokenizer)
    model = vizcore.load(tmp_path)
    tokens = model.trace("the cat looked at the door").tokens
    assert tokens == ["[CLS]", "the", "cat", "looked", "at", "the", "door", "[SEP]"]
