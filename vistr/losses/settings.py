"""Settings of the losses and of the matching."""

from __future__ import annotations

from dataclasses import dataclass

from vistr.errors import UserError
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
    # Their weights by layer: equal (1 each, the paper) | growing (1, 2, ... and the last as much as all before it, over
    # the sum: of six layers 1, 2, 3, 4, 5 and 15 of 30, as DeVIS, arXiv 2207.11103).
    layer_weights: str = knob("equal", choices=("equal", "growing"))
    # 2: the class loss is the focal loss (arXiv 1708.02002), which weighs what is classified well already less.
    class_focal_gamma: float = knob(0.0, at_least=0)
    class_cost: float = knob(1.0, at_least=0)
    box_cost: float = knob(5.0, at_least=0)
    iou_cost: float = knob(2.0, at_least=0)  # the original calls it giou and computes plain IoU

    def check(self, at: str) -> None:
        """Raise a UserError for weights of layers that have no losses, and for a focal loss without a gradient."""
        if self.layer_weights != "equal" and not self.aux_losses:
            raise UserError(f"{at}.layer_weights={self.layer_weights} has no effect on {at}.aux_losses=false.")
        if 0 < self.class_focal_gamma < 1:
            raise UserError(
                f"{at}.class_focal_gamma={self.class_focal_gamma} is out of range: it must be 0 or at least 1."
            )
