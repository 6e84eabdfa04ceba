"""`impasto weights`: look into weights files, make them of public checkpoints, and ready them for int8."""

import json
from pathlib import Path
from typing import Any, Final

import click
from tqdm import tqdm

from app.evaluation.errors import EvaluationError
from app.network.layout import VGG19, decoder_upsampling, encoder_stages
from app.network.weights import DECODER, ENCODER, WeightsError, WeightsFile, read_weights

PIXELS: Final = 512 * 512


@click.group()
def weights() -> None:
    """Look into weights files, make them of public checkpoints, and ready them for int8."""


@weights.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(file: Path, as_json: bool) -> None:
    """Tell what FILE (safetensors) is: encoder or decoder, layers, size, cost, hash, metadata."""
    try:
        facts = _facts(read_weights(file), file.stat().st_size)
    except WeightsError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        text = "; ".join(f"{key} = {entry}" for key, entry in value.items()) if isinstance(value, dict) else value
        click.echo(f"{name:14} {text}")


@weights.command("import")
@click.option("--vgg", type=click.Path(path_type=Path), help="vgg_normalised.pth of naoto0804/pytorch-AdaIN.")
@click.option("--decoder", type=click.Path(path_type=Path), help="decoder.pth of the same.")
@click.option("--torchvision", type=click.Choice(["vgg16", "vgg19"]), help="Fetch torchvision's ImageNet weights.")
@click.option("--file", type=click.Path(path_type=Path), help="With --torchvision: its .pth, fetched before.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Folder for the files.  [default: here]")
def import_(vgg: Path | None, decoder: Path | None, torchvision: str | None, file: Path | None, out: Path) -> None:
    """Make our files of public PyTorch checkpoints, without running anything those hold.

    \b
    impasto weights import --vgg vgg_normalised.pth --decoder decoder.pth --out adain/
    IMPASTO_ENCODER_WEIGHTS=adain/vgg19-relu4_1.safetensors \\
      IMPASTO_DECODER_WEIGHTS=adain/decoder.safetensors impasto serve
    impasto weights import --torchvision vgg19 --out vgg/     an encoder for `impasto train --encoder vgg19`

    A decoder belongs to the encoder it was trained under: take both from one place. Checkpoints of whole trainings and
    of DataParallel are read too.
    """
    if not (vgg or decoder or torchvision):
        raise click.UsageError("give --vgg, --decoder or --torchvision")
    if vgg and torchvision == "vgg19":
        raise click.UsageError("--vgg and --torchvision vgg19 write the same file; give one of them")
    if file and not torchvision:
        raise click.UsageError("--file: goes with --torchvision, which tells the network it is of")
    from app.files import write_whole
    from app.network import public

    try:
        made = {}
        if vgg:
            made["vgg19-relu4_1.safetensors"] = public.adain_vgg(vgg).encoded()
        if decoder:
            imported = public.adain_decoder(decoder)
            made["decoder.safetensors"] = (imported.under(*made.values()) if vgg else imported).encoded()
        if torchvision:
            state = public.read_checkpoint(file) if file else public.fetch(torchvision)
            made[f"{torchvision}-relu4_1.safetensors"] = public.torchvision_vgg(torchvision, state, file).encoded()
        for name, data in tqdm(made.items(), "writing", unit="file", leave=False, delay=1):
            write_whole(out / name, data)
            click.echo(str(out / name))
        if decoder and not vgg:
            click.echo(
                f"It learned from {public.ADAIN_ENCODER} and runs with that encoder only: import the .pth it came with "
                "by --vgg too, and give its file as IMPASTO_ENCODER_WEIGHTS.",
                err=True,
            )
    except WeightsError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{out}: cannot be written ({error.strerror or error})") from None


@weights.command()
@click.option("--content", required=True, type=click.Path(path_type=Path), help="Folder of photos.")
@click.option("--style", required=True, type=click.Path(path_type=Path), help="Folder of paintings.")
@click.option("--decoder", type=click.Path(path_type=Path), default=DECODER, help="The decoder.  [default: embedded]")
@click.option("--encoder", type=click.Path(path_type=Path), default=ENCODER, help="Its encoder.  [default: embedded]")
@click.option("--out", type=click.Path(path_type=Path), help="File of ranges.  [default: beside the decoder]")
@click.option("--pairs", default=64, show_default=True, type=click.IntRange(1), help="Photos repainted for it.")
@click.option("--size", default=256, show_default=True, type=click.IntRange(32, 2048), help="Their sides, in pixels.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def quantize(out: Path | None, **asked: Any) -> None:
    """Ready a decoder for int8: take its ranges from pictures, and compare what int8 makes of some with float32.

    In int8 a network's numbers are bytes, and for each channel of each layer it has to be known beforehand which
    values those stand for. This repaints photos in paintings, notes the least and the greatest value that each channel
    had, and writes them beside the decoder: decoder.ranges.safetensors of decoder.safetensors. The service finds them
    there, and takes int8 on processors that multiply bytes (AVX-512 VNNI, AVX-VNNI, AMX), at about half the time.

    \b
    impasto weights quantize --content photos/ --style paintings/ --decoder run/decoder.safetensors
    IMPASTO_DECODER_WEIGHTS=run/decoder.safetensors impasto serve

    Any photos and paintings will do, the more different the better: what is beyond the ranges is cut off. Pictures that
    were not among them are then repainted in both, where this processor can: 35 dB is what the eye does not see, and
    under 30 dB you are told.
    """
    from app.commands.quantize import quantize_decoder

    try:
        click.echo(quantize_decoder(out=out, **asked))
    except (EvaluationError, WeightsError) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(
            f"{out or asked['decoder']}: cannot be written ({error.strerror or error})"
        ) from None


def _facts(file: WeightsFile, size: int) -> dict[str, object]:
    kind, cost = _kind(file)
    return {
        "file": str(file.path),
        "is": kind,
        "layers": " ".join(f"{n_in}>{n_out}" for n_in, n_out in file.widths),
        "partial AdaIN": "after " + ", ".join(map(str, file.adain)) if file.adain else "none",
        "AdaIN gain": "any" if file.adain_gain is None else f"at most {file.adain_gain:g}",
        "parameters": sum(c.weight.size + c.bias.size for c in file.convolutions)
        + sum(matrix.size for matrix in file.adain.values()),
        "bytes": size,
        "GMAC": round(cost / 1e9, 1),
        "sha256": file.sha256,
        "metadata": file.metadata,
    }


def _kind(file: WeightsFile) -> tuple[str, float]:
    """What it is, and multiplications for a picture of 512 x 512."""
    costs = [9.0 * n_in * n_out * PIXELS for n_in, n_out in file.widths]
    try:
        stages = encoder_stages(file)
    except WeightsError:
        after = decoder_upsampling(file)
        up = len(after)
        return "decoder", sum(cost / 4 ** (up - sum(i > a for a in after)) for i, cost in enumerate(costs))
    scales = [scale for scale, stage in enumerate(stages) for _ in stage]
    name = "VGG-19" if stages == VGG19 else "VGG-16"
    return f"{name} encoder up to relu4_1", sum(c / 4**scale for c, scale in zip(costs, scales, strict=True))
