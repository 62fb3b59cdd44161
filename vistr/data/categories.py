"""Category names for weights of other people, whose files number the classes and do not name them."""

from __future__ import annotations

from vistr.data.videos import Category

# In the order of their ids, 1 to 40.
_YTVIS2019 = (
    "person giant_panda lizard parrot skateboard sedan ape dog snake monkey hand rabbit duck cat cow fish train horse"
    " turtle bear motorbike giraffe leopard fox deer owl surfboard airplane truck zebra tiger elephant snowboard boat"
    " shark mouse frog eagle earless_seal tennis_racket"
)


def assumed_categories(num_categories: int) -> list[Category]:
    """YouTube-VIS 2019's categories where there are as many, else "class 1" and so on."""
    names = _YTVIS2019.split()
    if num_categories != len(names):
        names = [f"class {i + 1}" for i in range(num_categories)]
    return [Category(i + 1, name) for i, name in enumerate(names)]


def are_unnamed(categories: list[Category]) -> bool:
    """Whether the names are placeholders, "class 1" and so on."""
    return all(category.name == f"class {category.id}" for category in categories)
