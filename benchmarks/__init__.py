"""What is measured, as ratios against a floor taken in the same run, and how to repeat it."""

import os

# Before anything loads NumPy, as in the product: many BLAS threads are slower on small tenants.
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
