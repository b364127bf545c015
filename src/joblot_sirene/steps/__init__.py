"""What a profile does with the rows of a dataset, a module a step.

A step is a function from a frame to a frame and to facts about it. Steps know columns of the dataset (`model.COLUMNS`), never files.
"""
