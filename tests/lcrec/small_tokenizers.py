"""Tokenizers such as pretrained models have, trained on a few words in a moment, with code tokens."""

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.decoders import Metaspace as MetaspaceDecoder
from tokenizers.models import BPE
from tokenizers.normalizers import Prepend, Replace
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from lcrec.prompt import code_token_names

WORDS = [
    "The user has chosen, in this order: Item number 7. Which item is next? Answer the request. Title: it is called"
]
ASCII = [chr(code) for code in range(32, 127)]


def small_tokenizer(pieces=None, sizes=(4, 4, 4), *, begin="<s>", end="</s>", add_codes=True, words=WORDS):
    """Return a byte-pair tokenizer; `begin` or `end` None leaves that token out."""
    pieces = pieces or ByteLevel(add_prefix_space=False)
    byte_level = isinstance(pieces, ByteLevel)
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pieces
    tokenizer.decoder = ByteLevelDecoder() if byte_level else MetaspaceDecoder(prepend_scheme=pieces.prepend_scheme)
    special = [token for token in (begin, end) if token]
    alphabet = ByteLevel.alphabet() if byte_level else [*ASCII, "▁", "\n", "é"]
    tokenizer.train_from_iterator(
        words,
        BpeTrainer(vocab_size=360, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=begin, eos_token=end)
    if add_codes:
        fast.add_tokens([AddedToken(name, normalized=False) for name in code_token_names(sizes)])
    return fast


def llama_tokenizer(sizes=(4, 4, 4), **options):
    """Return one as LLaMA's are in tokenizer.json: a normalizer puts a space before every text, code tokens end one."""
    tokenizer = small_tokenizer(metaspace(), sizes, **options)
    tokenizer.backend_tokenizer.pre_tokenizer = None
    tokenizer.backend_tokenizer.normalizer = Normalizers([Prepend("▁"), Replace(" ", "▁")])
    return tokenizer


def tokenizer_kinds():
    """Return a tokenizer of every kind that models have, by name."""
    return {
        "byte-level": small_tokenizer(),
        "prefix-space": small_tokenizer(ByteLevel(add_prefix_space=True)),
        "metaspace": small_tokenizer(metaspace()),
        "space-before-all": small_tokenizer(Metaspace(prepend_scheme="always")),
        "llama": llama_tokenizer(),
    }


def metaspace():
    """Return pieces as LLaMA's SentencePiece makes them: a space before the first word, and none between others."""
    return Metaspace(prepend_scheme="first")
