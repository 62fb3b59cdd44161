"""Other people's annotations (mask pictures, LabelMe, CVAT) as a `dataset=custom`."""
