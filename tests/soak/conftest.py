# SPDX-License-Identifier: Apache-2.0
"""Guests and bridges as the end-to-end tests have them."""
from tests.e2e.conftest import *  # fixtures are found by their names here
from tests.e2e.conftest import _signals
