"""The evaluation of the CBNet paper, ours beside the paper's: what is measured, drawn and written."""
