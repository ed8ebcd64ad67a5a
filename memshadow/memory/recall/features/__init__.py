"""What a ranker sees of a candidate, in groups by what is looked at: one file a group, one function a thought."""
