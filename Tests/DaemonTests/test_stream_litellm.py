"""Streams for LiteLLM, unmodified. A file of its own: to import it takes seconds."""

import os

import pytest

from streamserver import CHAT, RESPONSES, WORDS, data, said, site  # noqa: F401
from test_calls_sdk import MESSAGES
from test_responses import whole
from waiting import until

# What it would otherwise fetch from the network as it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
# LiteLLM holds a stream without it for broken by itself, whatever follows.
FINISH = data({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
    {"index": 0, "delta": {}, "finish_reason": "stop"}]})  # fmt: skip
TEXT = 'Hällo wörld \U0001f30d"[DONE]" {"error": "no"}'


@pytest.fixture(scope="module")
def litellm():
    import litellm

    litellm.suppress_debug_info = True
    return litellm


def options(each):
    return {"model": "openai/m", "api_base": each.gateway.url + "/v1", "api_key": "none", "num_retries": 0, "timeout": 30}


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.timeout(60)
def test_a_stream_is_read_as_it_comes(litellm, site):  # noqa: F811
    each = site()
    each.route.answer_with(said(*CHAT.frames, FINISH, CHAT.mark, pause=0.05))
    stream = litellm.completion(messages=MESSAGES, stream=True, **options(each))
    assert text_of(stream) == TEXT


@pytest.mark.timeout(60)
@pytest.mark.parametrize("tail, ending, words", [
    (CHAT.error, "finish", WORDS), (b":\n\n", "finish", ""), (b":\n\n", "cut", ""), (b'data: {"to', "cut", ""),
], ids=["error", "no mark", "cut", "torn"])  # fmt: skip
def test_a_broken_stream_is_never_taken_for_whole(litellm, site, tail, ending, words):  # noqa: F811
    each = site()
    each.route.answer_with(said(CHAT.frames[0], FINISH, tail, ending=ending, pause=0.3))
    got = []
    with pytest.raises(Exception) as found:
        for chunk in litellm.completion(messages=MESSAGES, stream=True, **options(each)):
            got.append(chunk)
    assert text_of(got) == "Hällo " and words in str(found.value)


@pytest.mark.timeout(60)
def test_a_response_in_the_background_is_read(litellm, site):  # noqa: F811
    each = site(RESPONSES)
    each.route.answer_with(said(*whole("Hal", "lo")))
    asked = litellm.responses(input="hi", background=True, **options(each))
    assert asked.status == "queued"
    own = {"api_base": each.gateway.url + "/v1", "api_key": "none", "custom_llm_provider": "openai"}
    id = each.jobs()[0]["id"].replace("-", "")
    ended = until(lambda: (it := litellm.get_responses(f"resp_{id}", **own)).status == "completed" and it, "the end")
    assert ended.output[0].content[0].text == "Hallo"
