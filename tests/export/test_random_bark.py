"""A checkpoint with random weights is whole at each size of its vocabulary."""

from pathlib import Path

from bark_onnx.export.checkpoints.sources import SourceOptions, open_source
from bark_onnx.export.random_bark import RandomBark, write_checkpoint


def test_tokenizer_has_as_many_entries_as_the_semantic_model_reads(tmp_path: Path) -> None:
    sizes = RandomBark(num_layers=1, hidden_size=16, text_vocabulary=1000, max_new_tokens=40)
    write_checkpoint(tmp_path, sizes)
    tokenizer = open_source(str(tmp_path), SourceOptions()).read_tokenizer()
    assert tokenizer.get_vocab_size() == 1000
    assert tokenizer.encode("Hello.").tokens == ["H", "##e", "##l", "##l", "##o", "."]
