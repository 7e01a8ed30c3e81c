"""The data that the web API serves: posts, comments and characters, made up by rule.

Every answer is a pure function of its number, so it is the same on every run and on every machine.
The characters come from books that are in the public domain.
"""

import random

POSTS = 100
COMMENTS_PER_POST = 5

# Each line: the book, its year, and some of those who live in it.
BOOKS = (
    ("Alice's Adventures in Wonderland", 1865, "Alice, White Rabbit, Cheshire Cat, Mad Hatter"),
    ("Moby-Dick", 1851, "Ishmael, Queequeg, Captain Ahab, Starbuck"),
    ("Treasure Island", 1883, "Jim Hawkins, Long John Silver, Ben Gunn, Billy Bones"),
    ("The Wonderful Wizard of Oz", 1900, "Dorothy, Scarecrow, Tin Woodman, Cowardly Lion"),
    ("Twenty Thousand Leagues Under the Seas", 1870, "Captain Nemo, Ned Land, Conseil"),
    ("The Jungle Book", 1894, "Mowgli, Baloo, Bagheera, Kaa, Rikki-Tikki-Tavi"),
    ("Around the World in Eighty Days", 1872, "Phileas Fogg, Passepartout, Aouda"),
    ("The Wind in the Willows", 1908, "Mole, Ratty, Badger, Mr. Toad"),
)

ADJECTIVES = ("quiet", "late", "bright", "hasty", "curious", "patient", "stray", "golden", "idle")
NOUNS = ("tide", "lantern", "kettle", "compass", "orchard", "whistle", "ladder", "harbour", "map")
VERBS = ("waits", "returns", "drifts", "answers", "wakes", "turns", "listens", "settles", "sings")
REMARKS = (
    "I have seen the same thing twice this week.",
    "Not on my ship.",
    "Read it aloud and it gets better.",
    "There must be a shorter way.",
    "I would rather have tea.",
    "The second sentence is the best one.",
    "Somebody ought to check the map.",
    "Agreed, and I will bring the rope.",
)

CHARACTERS = tuple(
    {"id": number, "name": name, "book": book, "year": year}
    for number, (name, book, year) in enumerate(
        ((name, book, year) for book, year, names in BOOKS for name in names.split(", ")), start=1
    )
)


def sentence(dice: random.Random) -> str:
    """One short sentence, as the dice fall."""
    return f"the {dice.choice(ADJECTIVES)} {dice.choice(NOUNS)} {dice.choice(VERBS)}"


def post(number: int) -> dict:
    """The post of that number."""
    dice = random.Random(f"post {number}")
    return {
        "id": number,
        "author": dice.choice(CHARACTERS)["name"],
        "title": sentence(dice).capitalize(),
        "body": ", and ".join(sentence(dice) for _ in range(4)).capitalize() + ".",
    }


def comments(post_number: int) -> list[dict]:
    """The comments on the post of that number."""
    dice = random.Random(f"comments {post_number}")
    first = (post_number - 1) * COMMENTS_PER_POST + 1
    return [
        {
            "id": number,
            "postId": post_number,
            "author": dice.choice(CHARACTERS)["name"],
            "body": dice.choice(REMARKS),
        }
        for number in range(first, first + COMMENTS_PER_POST)
    ]
