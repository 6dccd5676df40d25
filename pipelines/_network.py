"""Dense networks of tasks: made from components and an export's weights, or back from a card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medssl.config.component import Component, build, described, recall
from medssl.config.stages.finetune import Init
from medssl.data.crops import CropSource
from medssl.errors import ConfigError, DataError
from medssl.inference.sliding_window import SlidingWindow
from medssl.models.export import coverage_table, load_part, read_card
from medssl.models.network import DenseNetwork

FAMILIES = {
    "encoder": "medssl.models.encoders",
    "decoder": "medssl.models.decoders",
    "head": "medssl.heads",
}


@dataclass(frozen=True)
class Architecture:
    """What a network is made of, as a card holds it."""

    encoder: Component
    decoder: Component
    head: Component

    def network(self, num_classes: int) -> DenseNetwork:
        """Return a network with random weights; `num_classes` counts the background."""
        encoder = build(self.encoder)
        decoder = build(self.decoder, encoder.channels, encoder.strides, encoder.spatial_dims)
        head = build(self.head, decoder.channels[-1], num_classes, encoder.spatial_dims)
        return DenseNetwork(encoder, decoder, head)

    def described(self) -> dict[str, Any]:
        """Return the components as a card holds them."""
        return {part: described(getattr(self, part)) for part in FAMILIES}


def plan_network(
    encoder: Component | None, decoder: Component | None, head: Component, init: Init | None
) -> Architecture:
    """Return the architecture: the export's where it brings one, else what the config asks for.

    Raises:
        DataError: If the export has no encoder that is asked of it.
        ConfigError: If the config asks for another decoder than the export's.
    """
    card = read_card(init.export) if init else {}
    brought = {
        part: recall(FAMILIES[part], card[part])
        for part in (init.parts if init else ())
        if part in card.get("parts", ())
    }
    if init and "encoder" in init.parts and "encoder" not in brought:
        msg = f"{init.export} has no part 'encoder', only {card['parts']}; give another export"
        raise DataError(msg)
    if init and decoder and "decoder" in brought and brought["decoder"] != decoder:
        msg = (
            f"decoder: {init.export} brings {described(brought['decoder'])}, the config asks for "
            f"{described(decoder)}; leave decoder out, or take it out of init.parts"
        )
        raise ConfigError(msg)
    found = {"encoder": encoder, "decoder": decoder} | brought
    plain = recall(FAMILIES["decoder"], {"name": "unet"})
    chosen = found["encoder"]
    if chosen is None:
        msg = "encoder: required unless init brings one"
        raise ConfigError(msg)
    return Architecture(chosen, found["decoder"] or plain, head)


def check_fits(encoder: Component, network: Any, crops: str, source: CropSource) -> None:
    """Refuse an encoder that is for other images than the crops are.

    Args:
        encoder: As the config or a card says.
        network: Built of it.
        crops: What the crops are called in the config.
        source: The crops.

    Raises:
        ConfigError: If axes or channels differ.
    """
    if network.spatial_dims != source.spatial_dims:
        msg = (
            f"encoder {encoder.name} takes images of {network.spatial_dims} axes, crops {crops} "
            f"has {source.spatial_dims}; set spatial_dims of either"
        )
        raise ConfigError(msg)
    takes = encoder.params.get("in_channels", source.in_channels)
    if takes != source.in_channels:
        msg = (
            f"encoder {encoder.name} takes {takes} channels, crops {crops} has "
            f"{source.in_channels}; set encoder.in_channels or, of slices, crops.thickness to fit"
        )
        raise ConfigError(msg)


def load_weights(network: DenseNetwork, init: Init | None, *, from_scratch: bool) -> str:
    """Fill what the export has of the parts asked for; return the report of what came from where.

    Raises:
        DataError: If it fills less of a part than `init.min_coverage`.
    """
    if init is None or from_scratch:
        reason = f"left out those of {init.export}" if init else "no export given"
        return f"all weights are random: {reason}"
    known = read_card(init.export)["parts"]
    lines = []
    for part, module in network.parts.items():
        if part in init.parts and part in known:
            coverage = load_part(init.export, part, module, min_coverage=init.min_coverage)
            lines += [
                f"{part}: {coverage.filled:.1%} of its numbers are those of {init.export}",
                coverage_table(coverage),
                *(f"  {kind}: {key}" for kind in ("reshaped", "missing", "unused")
                  for key in getattr(coverage, kind)),
            ]  # fmt: skip
        else:
            lines.append(f"{part}: random")
    return "\n".join(lines)


def restore(export: Path) -> tuple[DenseNetwork, dict[str, Any]]:
    """Return the task network that an export holds, in evaluation mode, and its card.

    Raises:
        DataError: If the export is none of a segmentation network, or does not fill it whole.
    """
    card = read_card(export)
    if missing := [part for part in FAMILIES if part not in card["parts"] or part not in card]:
        msg = f"{export} is no task model: it lacks {missing}; give what `finetune` wrote"
        raise DataError(msg)
    architecture = Architecture(*(recall(family, card[p]) for p, family in FAMILIES.items()))
    network = architecture.network(len(card["classes"]) + 1)
    for part, module in network.parts.items():
        load_part(export, part, module)
    return network.eval(), card


def window_of(card: dict[str, Any], *, overlap: float, batch_vox: int) -> SlidingWindow:
    """Return the window that a task network is moved by: as large as the crops it learned from."""
    return SlidingWindow(
        window_vox=tuple(card["crop_vox"]),
        thickness=card.get("thickness", 1),
        overlap=overlap,
        batch_vox=batch_vox,
    )
