"""Code in the documents."""

import re
import textwrap

from support import paths


def python_in(document):
    [block] = re.findall(r"^ *```python\n(.*?)^ *```$", (paths.ROOT / document).read_text(), re.M | re.S)
    return textwrap.dedent(block)
