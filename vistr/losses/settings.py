"""Settings of the losses and of the matching."""

from __future__ import annotations

from dataclasses import dataclass

from vistr.knobs import knob


@dataclass
class Loss:
    """Weights of the losses (`_weight`) and of the costs of matching a slot to an object (`_cost`)."""

    class_weight: float = knob(1.0, at_least=0)
    box_weight: float = knob(5.0, at_least=0)  # L1
    giou_weight: float = knob(2.0, at_least=0)
    mask_weight: float = knob(1.0, at_least=0)  # focal
    dice_weight: float = knob(1.0, at_least=0)
    no_object_weight: float = knob(0.1, at_least=0)  # of the class "no object" inside the class loss
    aux_losses: bool = True  # class and box losses after every decoder layer, not the last alone
    class_cost: float = knob(1.0, at_least=0)
    box_cost: float = knob(5.0, at_least=0)
    iou_cost: float = knob(2.0, at_least=0)  # the original calls it giou and computes plain IoU
