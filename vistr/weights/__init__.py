"""Other people's weights: their names, their layouts, and loading them strictly."""

from vistr.weights.load import load_torch_state_dict

__all__ = ["load_torch_state_dict"]
