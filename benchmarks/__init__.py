"""What is measured, as ratios against a floor taken in the same run, and how to repeat it."""
