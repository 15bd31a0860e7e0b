"""The parts of the live pipeline: what its threads run, what they tell, and what they measure."""
