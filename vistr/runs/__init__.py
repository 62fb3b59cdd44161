"""Run folders: who holds one, what a run recorded, and runs compared with each other."""
