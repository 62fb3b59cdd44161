"""Boxes, sequence matching on the host, and the criterion of the paper's section 3.3."""
