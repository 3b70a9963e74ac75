"""The forms that the index has had, each as a step from the one before."""
