"""The part of a training step that memory depends on most: the matched objects' masks, losses and gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, ops

from vistr.losses.criterion import Criterion
from vistr.losses.supervision import Supervision, bucket
from vistr.models.vistr import Detection, VisTR
from vistr.runtime import backend
from vistr.runtime.backend import Limits
from vistr.runtime.graph import Graph
from vistr.runtime.graph_cache import GraphCache
from vistr.runtime.memory import release

NUM_SHARED = 5


class MaskStep:
    """Mask losses and their gradients, a few objects at a time: memory does not grow with their number.

    What all objects share is computed once before them, and its gradient once after them, from the sum of theirs.
    """

    def __init__(
        self,
        model: VisTR,
        criterion: Criterion,
        *,
        needs_stride4: bool,
        kept: tuple[Sequence[Parameter], GraphCache | None, object],
    ) -> None:
        self.model, self.needs_stride4 = model, needs_stride4
        segmenter, natively = model.segmenter, backend.sums_natively()
        self.shared_params = ms.ParameterTuple(segmenter.shared_parameters())
        self.instance_params = ms.ParameterTuple(segmenter.instance_parameters())

        def losses(states: Tensor, *inputs: Tensor) -> Any:
            shared, (key_padding_mask, sizes, query_rows, frame_rows, scale) = (
                inputs[:NUM_SHARED],
                inputs[NUM_SHARED:-2],
            )
            masks = segmenter(shared, states, key_padding_mask, sizes, query_rows, frame_rows)
            sequence_sizes = ops.gather(sizes, frame_rows[:, 0], 0)
            total, mask_losses = criterion.sum_mask_losses(masks, inputs[-2], inputs[-1], sequence_sizes)
            return total * scale, ops.concat((total.reshape(1), mask_losses))

        losses_and_gradients = ms.value_and_grad(
            losses, tuple(range(NUM_SHARED + 1)), self.instance_params, has_aux=True
        )

        def loss(*inputs: Tensor) -> Any:
            return losses_and_gradients(*inputs)

        def weighted(
            memory: Tensor, stride4: Tensor, stride8: Tensor, stride16: Tensor, sizes: Tensor, *gradients: Tensor
        ) -> Tensor:
            shared = (*segmenter.shared_by_frame(memory, sizes), *segmenter.mask_head.adapt(stride4, stride8, stride16))
            total = dot(shared[0], gradients[0], natively)
            for i in range(1, NUM_SHARED):
                total = total + dot(shared[i], gradients[i], natively)
            return total

        # A frozen stem ends at stride 4: nobody asks for that map's gradient.
        gradients_of_weighted = ms.grad(weighted, (0, 1, 2, 3) if needs_stride4 else (0, 2, 3), self.shared_params)

        def shared_gradients(*inputs: Tensor) -> Any:
            return gradients_of_weighted(*inputs)

        self.run_loss = Graph("masks and their losses, with gradients,", loss, *kept)
        self.run_shared_gradients = Graph("the gradients of the masks' shared part", shared_gradients, *kept)

    def __call__(
        self, found: Detection, key_padding_mask: Tensor, sizes: Tensor, supervision: Supervision, scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor], dict[str, Tensor]]:
        """Total and mask losses in a row, and, times `scale`, their gradients of states, memory, maps, parameters.

        The maps' are those of strides 8 and 16, before them that of stride 4 where it is wanted;
        `key_padding_mask [B*T, h*w]` and `sizes [B*T, 2]` as in `Segmenter`.
        """
        maps = found.maps[:3]
        shared = (*self.model.run_share(found.memory, sizes), *self.model.run_adapt(*maps))
        num_frames, pixels = supervision.masks.shape[1], shared[-1].shape[1] * shared[-1].shape[2]
        most = self.model.num_instances * found.logits.shape[1]
        size = group_size(len(supervision.masks), most, num_frames * pixels, self.model.limits)
        total: list[Tensor] = []
        for query_rows, frame_rows, masks, weights in supervision.groups(size):
            rows, targets = (Tensor(query_rows), Tensor(frame_rows)), (Tensor(masks), Tensor(weights))
            inputs = (found.states, *shared, key_padding_mask, sizes, *rows, scale, *targets)
            (_, losses), (grad_inputs, grad_instances) = self.run_loss(*inputs)
            total = add(total, (losses, *grad_inputs, *grad_instances))
            del grad_inputs  # as large as the maps, while the next group is computed
        losses, grad_states, *rest = total
        grad_shared, grad_instances = rest[:NUM_SHARED], rest[NUM_SHARED:]
        (grad_memory, *grad_maps), grad_parameters = self.run_shared_gradients(found.memory, *maps, sizes, *grad_shared)
        release((*shared, *grad_shared))
        gradients = {p.name: g for p, g in zip(self.shared_params, grad_parameters, strict=True)}
        for parameter, gradient in zip(self.instance_params, grad_instances, strict=True):
            name = parameter.name
            gradients[name] = gradients[name] + gradient if name in gradients else gradient
        return losses, grad_states, grad_memory, grad_maps, gradients


def group_size(count: int, most: int, pixels: int, limits: Limits) -> int:
    """How many of `count` sequences, of `pixels` each at stride 4, go together; there are never more than `most`."""
    fit = max(1, limits.loss_pixels // pixels)
    if limits.loss_sequences is not None:
        return min(fit, most, limits.loss_sequences)
    rows = bucket(count, most)
    return -(-rows // -(-rows // fit))


def dot(x: Tensor, weights: Tensor, natively: bool) -> Tensor:
    """Sum of the products of two tensors' elements; or a matrix product, whose gradient on a CPU is no broadcast."""
    if natively:
        return (x * weights).sum()
    return ops.matmul(x.reshape(1, -1), weights.reshape(-1, 1)).reshape(())


def add(total: Sequence[Tensor], more: Iterable[Tensor]) -> list[Tensor]:
    """The sum of two lists of gradients; the first may be empty."""
    return [a + b for a, b in zip(total, more, strict=True)] if total else list(more)
