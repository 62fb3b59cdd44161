"""Speed: how long a step and an inference take, what they hold, and how many operations they are."""
