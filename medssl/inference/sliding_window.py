"""Sliding window: a network trained on crops, run over a whole volume.

Source: MONAI's `sliding_window_inference`; windows overlap and their logits are averaged under
a Gaussian, as in Isensee et al., "nnU-Net", Nature Methods 2021, 10.1038/s41592-020-01008-z.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from monai.inferers.utils import sliding_window_inference
from torch import Tensor
from torch.nn import functional

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class SlidingWindow:
    """Runs a network window by window, or slice by slice where windows are two-dimensional.

    A slice may come with its neighbors, a channel each, as in the crops that a network of stacks
    was trained on; neighbors beyond the volume are zeros.

    Args:
        window_vox: Extent of a window: three numbers, or two for networks of slices, which lie
            across the third axis.
        batch_vox: Voxels that the network sees at once, in as many windows as that holds, or one.
        thickness: Slices of a stack, an odd number; 1 for slices alone and for blocks.
        overlap: Share of a window's extent by which neighbors overlap.
        device_bytes: Up to this size the logits of a volume are summed on the image's device,
            beyond it in main memory.
    """

    window_vox: tuple[int, ...]
    batch_vox: int
    thickness: int = 1
    overlap: float = 0.5
    device_bytes: int = 2**31

    def __post_init__(self) -> None:
        if len(self.window_vox) not in (2, 3) or min(self.window_vox) < 1:
            msg = f"window_vox must be 2 or 3 positive numbers, got {self.window_vox}"
            raise ValueError(msg)
        if self.thickness < 1 or self.thickness % 2 == 0:
            msg = f"thickness must be an odd number of slices, got {self.thickness}"
            raise ValueError(msg)
        if self.thickness > 1 and len(self.window_vox) == 3:
            msg = f"windows {self.window_vox} are blocks, which have no thickness {self.thickness}"
            raise ValueError(msg)
        if self.batch_vox < 1:
            msg = f"batch_vox must be at least 1 voxel, got {self.batch_vox}"
            raise ValueError(msg)
        if not 0 <= self.overlap < 1:
            msg = f"overlap must be in [0, 1), got {self.overlap}"
            raise ValueError(msg)

    @torch.inference_mode()
    def __call__(
        self, network: Network, image: Float[Tensor, "channel i j k"], num_classes: int
    ) -> Float[Tensor, "class i j k"]:
        """Return the probability of each class in each voxel, in float32.

        The network must be in evaluation mode. Beyond the volume, where a window is larger than
        it, there are zeros, as in the crops of training.
        """
        if len(self.window_vox) == 3:
            logits = self._slide(network, image[None], num_classes)[0]
        else:
            stacks = self._stacks(image)
            logits = self._slide(network, stacks, num_classes).movedim(0, 3)
        # In place: of many classes there is not always room for a second copy.
        logits.sub_(logits.amax(dim=0, keepdim=True)).exp_()
        return logits.div_(logits.sum(dim=0, keepdim=True))

    @torch.no_grad()
    def averaged(
        self, network: Network, image: Float[Tensor, "channel i j k"]
    ) -> Float[Tensor, "i j k"]:
        """Return the mean of the one map that windows give each voxel, in float32.

        The network may compute gradients; beyond the volume there are zeros, as above.
        """
        if len(self.window_vox) == 3:
            return self._slide(network, image[None], 1)[0, 0]
        return self._slide(network, self._stacks(image), 1)[:, 0].movedim(0, 2)

    def _stacks(self, image: Float[Tensor, "channel i j k"]) -> Float[Tensor, "k stack i j"]:
        """Return each slice between its neighbors; of one channel without copying each of them."""
        if self.thickness == 1:
            return image.movedim(3, 0)
        beyond = self.thickness // 2
        padded = functional.pad(image, (beyond, beyond))
        neighbors = padded.unfold(3, self.thickness, 1)
        return neighbors.permute(3, 0, 4, 1, 2).flatten(1, 2)

    def _slide(
        self, network: Network, batch: Float[Tensor, "batch channel *spatial"], num_classes: int
    ) -> Float[Tensor, "batch class *spatial"]:
        # MONAI holds the weighted sum of logits and, for each spatial position, the weight.
        sums = 4 * (num_classes + 1) * batch[:, 0].numel()
        stitched = sliding_window_inference(
            batch,
            roi_size=self.window_vox,
            sw_batch_size=max(1, self.batch_vox // math.prod(self.window_vox)),
            predictor=lambda window: network(window).float(),
            overlap=self.overlap,
            mode="gaussian",
            sw_device=batch.device,
            device=batch.device if sums <= self.device_bytes else torch.device("cpu"),
        )
        return cast(Tensor, stitched)
