"""Figures: memory, CPU to ready, the cost of a change, reaction. Only memory is asserted."""
