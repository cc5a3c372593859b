"""Tables on the terminal."""

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]], words: int) -> str:
    """Align the first `words` columns to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = (
        [
            cell.ljust(width) if number < words else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    )
    return '\n'.join('  '.join(line).rstrip() for line in padded)
