"""Architectures with random weights as torch.onnx exports them today, for `bench/models.py`.

pip install torch torchvision timm transformers onnxscript
python bench/exports.py DIR
python bench/models.py --folder DIR --cpus 1 --samples 4 --json results.json
python bench/exports.py DIR --table results.json

What such weights predict means nothing: sizes, times and whether every node runs natively do.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import warnings
from pathlib import Path

import torch
from torch import nn


def vision(library, name, size=224):
    """An image classifier of torchvision or timm."""
    if library == "timm":
        import timm

        model = timm.create_model(name, pretrained=False)
    else:
        from torchvision import models

        model = getattr(models, name)()
    return model, (torch.randn(1, 3, size, size),)


class LastHidden(nn.Module):
    """The last hidden states of a model of transformers."""

    def __init__(self, model, **always):
        super().__init__()
        self.model, self.always = model, always

    def forward(self, *inputs):
        """Return them."""
        return self.model(*inputs, **self.always).last_hidden_state


def language(kind, tokens=128, **sizes):
    """A language model of four layers or what `sizes` say."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(**sizes)
    model = getattr(transformers, f"{kind}Model")(config)
    always = {} if kind == "Bert" else {"use_cache": False}
    return LastHidden(model, **always), (torch.randint(0, config.vocab_size, (1, tokens)),)


def speech():
    """wav2vec 2.0 with four layers, one second of sound."""
    import transformers

    sizes = {"num_hidden_layers": 4, "hidden_size": 384, "num_attention_heads": 6}
    config = transformers.Wav2Vec2Config(intermediate_size=1536, **sizes)
    return LastHidden(transformers.Wav2Vec2Model(config)), (torch.randn(1, 16000),)


class UNet(nn.Module):
    """Two levels, with GroupNorm, InstanceNorm, and both ways up."""

    def __init__(self, width=32):
        super().__init__()
        down, middle, deep = width, 2 * width, 4 * width
        self.first, self.second, self.third = (
            self.block(i, o) for i, o in ((3, down), (down, middle), (middle, deep))
        )
        self.fourth = self.block(deep + middle, middle)
        self.fifth = self.block(middle + down, down)
        self.shrink, self.grow = nn.AvgPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear")
        self.up, self.last = nn.ConvTranspose2d(middle, middle, 2, 2), nn.Conv2d(down, 2, 1)

    @staticmethod
    def block(i, o):
        """Two convolutions."""
        first = nn.Conv2d(i, o, 3, padding=1), nn.GroupNorm(8, o), nn.SiLU()
        norm = nn.InstanceNorm2d(o, affine=True)
        return nn.Sequential(*first, nn.Conv2d(o, o, 3, padding=1), norm, nn.LeakyReLU(0.1))

    def forward(self, x):
        """Return a map of two classes."""
        a = self.first(x)
        b = self.second(self.shrink(a))
        c = self.third(self.shrink(b))
        d = self.fourth(torch.cat([self.grow(c), b], 1))
        return torch.sigmoid(self.last(self.fifth(torch.cat([self.up(d), a], 1))))


class Tagger(nn.Module):
    """Two bidirectional LSTM layers over embeddings."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(1000, 128)
        self.lstm = nn.LSTM(128, 256, 2, batch_first=True, bidirectional=True)
        self.last = nn.Linear(512, 100)

    def forward(self, x):
        """Return the scores of each position."""
        return self.last(self.lstm(self.embedding(x))[0])


SMALL = {"hidden_size": 384, "num_attention_heads": 6, "num_hidden_layers": 4}
LLAMA = {"hidden_size": 512, "num_attention_heads": 8, "num_hidden_layers": 4, "vocab_size": 8000}
MODELS = {
    **{name: (vision, "torchvision", name) for name in ("resnet50", "mobilenet_v2", "densenet121")},
    "efficientnet_b0": (vision, "torchvision", "efficientnet_b0"),
    "shufflenet_v2": (vision, "torchvision", "shufflenet_v2_x1_0"),
    "convnext_tiny": (vision, "torchvision", "convnext_tiny"),
    "swin_t": (vision, "torchvision", "swin_t"),
    "vit_tiny": (vision, "timm", "vit_tiny_patch16_224"),
    "mobilevit_xs": (vision, "timm", "mobilevit_xs", 256),
    "fastvit_t8": (vision, "timm", "fastvit_t8", 256),
    "eca_nfnet_l0": (vision, "timm", "eca_nfnet_l0"),
    "unet": (lambda: (UNet(), (torch.randn(1, 3, 128, 128),)),),
    "bert": (lambda: language("Bert", intermediate_size=1536, **SMALL),),
    "gpt2": (lambda: language("GPT2", n_layer=4, n_embd=384, n_head=6),),
    "llama": (lambda: language("Llama", num_key_value_heads=4, intermediate_size=1376, **LLAMA),),
    "wav2vec2": (speech,),
    "lstm": (lambda: (Tagger(), (torch.randint(0, 1000, (1, 50)),)),),
}


def export(folder: Path) -> None:
    """Write every model that is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    for name, (make, *arguments) in MODELS.items():
        path = folder / f"{name}.onnx"
        if path.exists():
            continue
        torch.manual_seed(0)
        model, inputs = make(*arguments)
        model.eval()
        torch.onnx.export(model, inputs, path, dynamo=True, external_data=False, verbose=False)
        print(f"{path}: {path.stat().st_size:,} bytes")


def table(rows) -> str:
    """Return Markdown: a line for each model."""
    by_model: dict[str, dict] = {}
    for row in rows:
        by_model.setdefault(row["model"], {})[row["name"]] = row
    lines = [
        "| model | MB | int8 | onnxruntime | our float | our int8 | float × | int8 × | cosine |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    gains: dict[str, list[float]] = {"float": [], "int8": []}
    for name, found in by_model.items():
        theirs, ours, int8 = (
            found[key] for key in ("onnxruntime float", "pycompress float", "pycompress int8")
        )
        for key, row in (("float", ours), ("int8", int8)):
            gains[key].append(row["speedup"])
        lines.append(
            f"| {name} | {theirs['bytes'] / 1e6:.3g} | {int8['bytes'] / theirs['bytes']:.2f} "
            f"| {theirs['run_ms']:.3g} | {ours['run_ms']:.3g} | {int8['run_ms']:.3g} "
            f"| {ours['speedup']:.2f} | {int8['speedup']:.2f} | {int8['cosine']:.4f} |"
        )
    means = (math.exp(math.fsum(map(math.log, gains[key])) / len(lines[2:])) for key in gains)
    shown = " | ".join(f"{mean:.2f}" for mean in means)
    return "\n".join([*lines, f"| geometric mean | | | | | | {shown} | |"])


def main() -> None:
    """Export, or print the table of what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", type=Path, help="what bench/models.py wrote with --json")
    options = parser.parse_args()
    if options.table is None:
        export(options.folder)
    else:
        print(table(json.loads(options.table.read_text())))


if __name__ == "__main__":
    main()
