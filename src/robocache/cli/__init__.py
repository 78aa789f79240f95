"""Verbs. They put the rooms together and compute nothing.

Importing this, before torch, asks OpenMP threads to sleep while they wait. By default they spin,
and two trainings on one machine then slow each other down many times over.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
