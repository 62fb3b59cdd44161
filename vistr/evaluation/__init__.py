"""Average precision and recall of video instance segmentation, as YouTube-VIS measures them."""
