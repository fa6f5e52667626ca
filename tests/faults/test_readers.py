"""A09, A10: readers against swaps, rollbacks and a removal that keeps as little as it may."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schema.errors import Problem
from schema.names import TenantId
from schema.records import entries
from serving.shelf import Shelf
from storage.datasets import Datasets
from storage.durable import Disk
from storage.editions import Current, Editions
from storage.rollback import activate
from tests.faults.conftest import Tell
from tests.faults.homes import Homes
from tests.faults.size import size
from tests.serving.test_shelf import over, tenant_of
from tests.storage.made import AT, lists, seal
from tests.world import ACME, NEXT_NIGHT, NIGHT

SECONDS = size(4, 60)
UID = TenantId("t0")
Reader = Callable[[], object]
