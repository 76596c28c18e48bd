"""A Llama with random weights and a tokenizer of its own, small enough to build in seconds and serve on a CPU."""

from pathlib import Path

from tokenizers import Tokenizer

MAX_VOCAB_SIZE = 1000
MAX_POSITIONS = 2048
BOS, EOS, UNKNOWN, PAD = "<s>", "</s>", "<unk>", "<pad>"

# Sentences are enough for a byte-level BPE: what they lack is spelled in bytes, so nothing is ever unknown.
SENTENCES = [
    "You answer questions from the passages alone and cite each of them with its number in brackets.",
    "The passages do not contain the answer to the question, so the answer says so and cites nothing.",
    "A replica embeds the query, searches the index, reranks the candidates and streams the generation.",
    "The duck is the common name for many species of waterbirds that are smaller than swans and geese.",
    "To install the package, run pip install in a shell, then start the server and wait for its health check.",
    "Paris is the capital of France; the river Seine flows through it, and the tower was built in 1889.",
    "Each request has a deadline, and a stream that nobody reads is closed at once to free the engine.",
    "What is the timeout of a request? It is five seconds by default, and it can be set for each client.",
]

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|{{ message['role'] }}|>\n{{ message['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def build_tiny_llama(folder: Path) -> Path:
    """Fill `folder` with a checkpoint that vLLM and transformers load without a network, and return it.

    About 110,000 parameters, drawn with a fixed seed: two calls write the same weights and the same tokenizer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer()
    _save_tokenizer(tokenizer, folder)
    # As many as the tokenizer really learnt: an id that it lacks could be drawn and never be decoded.
    _save_model(tokenizer.get_vocab_size(), folder)
    return folder


def _train_tokenizer() -> Tokenizer:
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MAX_VOCAB_SIZE,
        special_tokens=[UNKNOWN, BOS, EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNKNOWN,
        pad_token=PAD,
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(folder)


def _save_model(vocab_size: int, folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        # Heads of 32: the smallest size that vLLM's CPU attention accepts.
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=MAX_POSITIONS,
        unk_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
