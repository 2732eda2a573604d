#!/usr/bin/env python3
"""Makes tests/data/tokenizers: tiny tokenizers in the styles of the model families, and what Hugging Face's
tokenizers and SentencePiece make of short texts with them.

    .venv/bin/python scripts/make_tokenizer_data.py

Needs tokenizers and sentencepiece. All texts are our own. The result depends on the versions of those packages,
and for llama2-metaspace and llama2-prepend on the run: of letters that are equally rare, limit_alphabet keeps
any. So it is committed; run this only to change the tests.
"""

import argparse
import copy
import io
import json
import random
import tempfile
from pathlib import Path

import sentencepiece
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        processors, trainers)

DATA = Path(__file__).resolve().parent.parent / "tests" / "data" / "tokenizers"

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
    "the packing of prompts into bins is what this library is for: it's fast, isn't it? We'll see.",
    "One prompt has 7 tokens, another 1234; in 2024 we counted 1,000,000 of them.",
    "def pack(lengths):\n    bins = []\n    for length in lengths:\n        bins.append(length)\n    return bins\n",
    "Größe, naïve, café, Ärger, déjà vu, señor, smörgåsbord.",
    "Быстрая лиса прыгает через ленивую собаку. Собака не против.",
    "速い茶色の狐がのろまな犬を飛び越える。犬は気にしない。 快速的棕色狐狸跳过懒狗。",
    "빠른 갈색 여우가 게으른 개를 뛰어넘는다.",
    "الثعلب البني السريع يقفز فوق الكلب الكسول",
    "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है",
    "emoji 🙂🙃 🚀🚀🚀 👩‍💻 🇩🇪 and text ✓ → …",
    "tabs\tand  two   three    spaces\r\nand line ends\n\n\nand more",
    "THE QUICK BROWN FOX. It's, IT'S, we're, WE'RE, they'll, I'd, you've.",
    "x = (a + b) * c / d - e ** 2; y = {'k': [1, 2, 3]} # comment --- *** ===",
]

TEXTS = CORPUS + [
    "", " ", "  ", "a", " a", "a ", "\n", "\n\n", " \n ", "\t", "\r\n\r\n", "   leading and trailing   ",
    "the", "The the THE", "hello world", "hello  world", "hello\u00a0world\u3000wide\u2003space",
    "it's IT'S it\u2019s 'S 'ſ 're'RE", "don't can't we'll they'd I'm you've",
    "1", "12", "123", "1234", "12345 67", "3.14159", "x1y22z333", "٣٤٥ ½ Ⅷ ² ১২৩", "a1b2 c3",
    "e\u0301 n\u0303 o\u0308 A\u030a é ñ ö Å Å ﬁ ㎏ ①", "\u1100\u1161\u11a8 각", "q\u0307\u0323 q\u0323\u0307",
    "日本語とEnglishの混在123テスト", "🙂", "👩‍👩‍👧‍👦 family", "🇫🇷🇩🇪", "\u200b zero\u200dwidth\ufeff",
    "nul\x00inside\x00\x00", "\x01\x02\x7f\x80\x85 control", "\u180e mongolian \u180e", "\U0001f9ff\U000e0001 rare \U0010ffff",
    "ꙮ ᚠ 𐍈 𝒳 unseen letters", "▁already ▁▁marked▁", "a▁b", "<0x0A> <0x41>", "<unk> <s> </s>",
    "<s>", "</s></s>", "<s>hello</s>", "hello <s> world </s> again", " <s> hello", "<s>  two", "x<s>y",
    "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n", "<|im_start|><|im_end|>", "<|im_start|", "<<s>>",
    "<tok><token> <token>", "anode node nodes node", "the special the", "  <l>  <r>  <lr>  x", "<l><r>", "x <r> <l> y",
    "a" * 60, "ab" * 40, " " * 70 + "x", "\n" * 50, "-" * 80, "the " * 30, "🙂" * 20, "0123456789" * 7,
    "CamelCaseWords snake_case_words kebab-case-words http://example.org/a?b=c&d=e",
    "mixed\twhite \t space\n \n  \n   end", "quote \"quoted\" 'single' `code` “curly”", "a.b,c;d:e!f?g",
]


def bpe_trainer(size, **options):
    return trainers.BpeTrainer(vocab_size=size, show_progress=False, **options)


def specials(*contents):
    return [AddedToken(c, special=True, normalized=False) for c in contents]


def smollm2():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS, bpe_trainer(
        460, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level_split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def llama3():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = byte_level_split(LLAMA3)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS, bpe_trainer(480, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens(specials("<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>"))
    bos = t.token_to_id("<|begin_of_text|>")
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", bos)])])
    return t


def qwen25():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = byte_level_split(LLAMA3.replace("{1,3}", ""))
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    t.train_from_iterator(CORPUS, bpe_trainer(440, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens(specials("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    t.add_tokens([AddedToken("<tok>", normalized=False), AddedToken("<token>", normalized=False)])
    return t


LETTERS = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]%s[\p{Ll}\p{Lm}\p{Lo}\p{M}]%s"
OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = LETTERS % ("*", "+") + "|" + LETTERS % ("+", "*") + r"|\p{N}" + OTHERS
GPT4O = "".join(LETTERS % signs + r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" for signs in (("*", "+"), ("+", "*"))) + r"\p{N}{1,3}" + OTHERS


def cased(pattern, bos=None, **options):
    """Merges reach over words, so that the ids show where the text was cut."""
    t = Tokenizer(models.BPE(**options))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    t.train_from_iterator(TEXTS, bpe_trainer(520, max_token_length=6, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.pre_tokenizer = byte_level_split(pattern)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(specials("<s>" if bos else "<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    if bos:
        t.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, t.token_to_id(bos))])
    return t


def tekken():
    return cased(TEKKEN, "<s>", ignore_merges=True)


def gpt4o():
    return cased(GPT4O)


BYTES = [f"<0x{b:02X}>" for b in range(256)]


def llama2(metaspace):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if metaspace:
        t.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    else:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    # Words for training, so that no merge reaches over a space, as in the real one.
    words = [w for line in CORPUS for w in line.replace(" ", " ▁").split(" ")]
    keep = "".join(CORPUS[:2] + CORPUS[4:7])  # the rest of the characters go to bytes
    t2 = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t2.train_from_iterator(words, bpe_trainer(
        600, special_tokens=["<unk>", "<s>", "</s>"] + BYTES, limit_alphabet=120,
        initial_alphabet=sorted(set(keep + "▁")) ))
    model = json.loads(t2.to_str())["model"]
    t.model = models.BPE(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]], unk_token="<unk>",
                         fuse_unk=True, byte_fallback=True)
    t.add_special_tokens(specials("<unk>", "<s>", "</s>"))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def variants():
    """One small vocabulary whose merges reach over words, under every component that is supported: the ids
    show where the text was cut."""
    base = Tokenizer(models.BPE(unk_token="<unk>"))
    base.train_from_iterator(CORPUS[:4] + CORPUS[11:], bpe_trainer(330, special_tokens=["<unk>"]))
    base = json.loads(base.to_str())
    base["added_tokens"] = []
    split = lambda pattern, behavior, invert=False: {
        "type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
    words = {"Regex": r"\s+|\d"}
    result = {}

    def add(name, normalizer=None, pre_tokenizer=None, added=(), **model):
        t = copy.deepcopy(base)
        t["normalizer"], t["pre_tokenizer"] = normalizer, pre_tokenizer
        t["model"].update(model)
        for i, token in enumerate(added):
            t["added_tokens"].append(dict({"id": len(t["model"]["vocab"]) + i, "single_word": False, "lstrip": False,
                                           "rstrip": False, "normalized": False, "special": False}, **token))
        result[name] = t

    add("plain")
    add("fuse_unk", fuse_unk=True)
    add("no unk", unk_token=None)
    for form in ["NFC", "NFD", "NFKC", "NFKD"]:
        add(form, normalizer={"type": form})
    add("strip", normalizer={"type": "Strip", "strip_left": True, "strip_right": True})
    add("replace", normalizer={"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"String": "the"}, "content": "a "},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "-"}]})
    for behavior in ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        for invert in [False, True]:
            add(f"split {behavior} {invert}", pre_tokenizer=split(words, behavior, invert))
        add(f"split string {behavior}", pre_tokenizer=split({"String": "e"}, behavior))
    for individual in [False, True]:
        add(f"digits {individual}", pre_tokenizer={"type": "Digits", "individual_digits": individual})
    for scheme in ["always", "first", "never"]:
        for cut in [False, True]:
            add(f"metaspace {scheme} {cut}", pre_tokenizer={
                "type": "Metaspace", "replacement": "_", "prepend_scheme": scheme, "split": cut},
                added=[{"content": "<s>"}])
    add("metaspace after digits", pre_tokenizer={"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": False},
        {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": True}]})
    tokens = [{"content": "<tok>"}, {"content": "<token>"}, {"content": "node", "single_word": True},
              {"content": "<l>", "lstrip": True}, {"content": "<r>", "rstrip": True},
              {"content": "<lr>", "lstrip": True, "rstrip": True}, {"content": "special", "special": True},
              {"content": "é"}, {"content": "word", "single_word": True}]
    add("added tokens", added=tokens)
    add("normalized added tokens", added=[dict(t, normalized=True) for t in tokens],
        normalizer={"type": "Sequence", "normalizers": [
            {"type": "NFD"}, {"type": "Prepend", "prepend": "-"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]})
    add("mixed added tokens", added=[dict(t, normalized=i % 2 == 0) for i, t in enumerate(tokens)],
        normalizer={"type": "NFC"}, pre_tokenizer=split(words, "Isolated"))
    add("prefix space", pre_tokenizer={"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True, "trim_offsets": True}]},
        added=[{"content": "<s>"}])
    return result


def decode_cases(t, encoded, all_ids):
    """Texts of ids: some of the encoded ones, and random ones."""
    rng = random.Random(1)
    sequences = encoded[::4] + [[rng.choice(all_ids) for _ in range(rng.randrange(1, 9))] for _ in range(80)]
    return [[ids, t.decode(ids, skip_special_tokens=True), t.decode(ids, skip_special_tokens=False)]
            for ids in sequences]


def expected(t):
    ids = [t.encode(text).ids for text in TEXTS]
    num_special = [len(i) - len(t.encode(text, add_special_tokens=False).ids) for i, text in zip(ids, TEXTS)]
    return {"num_special": num_special[0], "ids": ids, "decode": decode_cases(t, ids, sorted(t.get_vocab().values()))}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def sentencepiece_model(name, **options):
    model = io.BytesIO()
    lines = [line for text in CORPUS for line in text.split("\n") if line]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=600, hard_vocab_limit=False,
        minloglevel=2, num_threads=1, **options)
    folder = DATA / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    control = {sp.id_to_piece(i): i for i in range(sp.vocab_size()) if sp.is_control(i)}

    def encode(text):
        """Control pieces written in the text are themselves; what lies between them is the library's."""
        for piece, piece_id in control.items():
            before, found, after = text.partition(piece)
            if found:
                return encode(before) + [piece_id] + encode(after)
        return sp.encode(text)

    reference = Tokenizer(models.BPE(vocab={sp.id_to_piece(i): i for i in range(sp.vocab_size())}, merges=[]))
    reference.add_special_tokens(specials("<unk>", *control))
    reference.decoder = decoders.Sequence([decoders.Replace("▁", " ")] +
                                          ([decoders.ByteFallback()] if options.get("byte_fallback") else []) +
                                          [decoders.Fuse()] + [decoders.Strip(" ", 1, 0)])
    ids = [[sp.bos_id()] + encode(text) for text in TEXTS]
    if options["model_type"] == "unigram":  # releases of the library resolve ties differently: no rare characters
        ids = [i if text.isascii() else None for i, text in zip(ids, TEXTS)]
    write(folder / "expected.json", {"num_special": 1, "ids": ids,
                                     "decode": decode_cases(reference, [i for i in ids if i], list(range(sp.vocab_size())))})


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name, t in {"smollm2": smollm2(), "llama3": llama3(), "qwen2.5": qwen25(), "tekken": tekken(), "gpt-4o": gpt4o(), "llama2-prepend": llama2(False),
                    "llama2-metaspace": llama2(True)}.items():
        data = json.loads(t.to_str())
        if name == "smollm2":  # the older spelling of merges
            data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
        write(DATA / name / "tokenizer.json", data)
        t = Tokenizer.from_file(str(DATA / name / "tokenizer.json"))
        write(DATA / name / "expected.json", expected(t))

    write(DATA / "texts.json", TEXTS)
    base = None
    out = []
    short = [t for t in TEXTS[len(CORPUS):] if len(t) < 60]
    for name, data in variants().items():
        t = Tokenizer.from_str(json.dumps(data))
        base = base or {k: data["model"][k] for k in ("vocab", "merges")}
        for k in base:
            del data["model"][k]
        out.append({"name": name, "tokenizer": data, "ids": [t.encode(x).ids for x in short]})
    write(DATA / "variants.json", {"model": base, "texts": short, "variants": out})

    llama = dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                 remove_extra_whitespaces=False, character_coverage=0.985, split_digits=True,
                 allow_whitespace_only_pieces=True)
    sentencepiece_model("sentencepiece", user_defined_symbols=["<tok>", "<token>", "fox"], control_symbols=["[INST]"], **llama)
    sentencepiece_model("sentencepiece-spaces", **dict(llama, remove_extra_whitespaces=True))
    sentencepiece_model("sentencepiece-unk", **dict(llama, byte_fallback=False))
    sentencepiece_model("sentencepiece-unigram", model_type="unigram", normalization_rule_name="identity")


if __name__ == "__main__":
    main()
