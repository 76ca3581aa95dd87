"""Soft-tissue sarcoma of the extremities in T1 MR; the same patients as in PET."""

from __future__ import annotations

from functools import partial

from .sarcoma_pet import load, sarcoma

DATASET = sarcoma("sarcoma_mr", partial(load, series="MR_T1", modality="mr"))
