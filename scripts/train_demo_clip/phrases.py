"""Words for counts, colours and places in each language, and how they combine with a noun.

Grammar is approximate on purpose. Where an ending depends on the noun's gender, it is chosen at random, so the model
sees every form that a person may type.
"""

from dataclasses import dataclass

import numpy as np

from scripts.train_demo_clip.colours import COLOUR_NAMES


@dataclass(frozen=True)
class Phrases:
    """One language. `places` maps a background to its phrases; `on_colour` takes a colour word."""

    prefixes: tuple[str, ...]
    articles: tuple[str, ...]
    numbers: dict[int, tuple[str, ...]]
    many: tuple[str, ...]
    colours: dict[str, tuple[str, ...]]
    colour_first: bool
    joiners: tuple[str, ...]
    places: dict[str, tuple[str, ...]]
    on_colour: tuple[str, ...]


def _columns(text: str) -> dict[str, tuple[str, ...]]:
    """`red a b|blue c` -> {"red": ("a", "b"), ...}."""
    return {line.split()[0]: tuple(line.split()[1:]) for line in text.split("|")}


def _numbers(*words: str) -> dict[int, tuple[str, ...]]:
    return {number: (word, str(number)) for number, word in enumerate(words, start=2)}


PHRASES: dict[str, Phrases] = {
    "en": Phrases(
        ("a picture of", "a photo of", "an image of", "a drawing of", "photo of"),
        ("a", "one", "a single", "the"),
        _numbers("two", "three", "four", "five", "six"),
        ("some", "several", "many", "a few", ""),
        _columns("red red|orange orange|yellow yellow|green green|blue blue|purple purple violet|pink pink|brown brown"
                 "|black black|white white|grey grey gray"),
        True,
        (" and ", " next to ", " with ", " beside ", ", "),
        {
            "sky": ("in the sky", "under a blue sky", "in the air", "in a blue sky with clouds", "among the clouds"),
            "night": ("at night", "under the stars", "in the night sky", "in the dark", "on a starry night"),
            "sunset": ("at sunset", "in the evening", "at dusk", "in front of the setting sun"),
            "grass": ("on the grass", "in a meadow", "on a green field", "in the garden", "in the park"),
            "sea": ("in the sea", "on the water", "in the ocean", "at sea", "on the sea"),
            "sand": ("on the sand", "on the beach", "at the beach", "in the desert", "on a sandy beach"),
            "snow": ("in the snow", "on the snow", "in winter", "on a snowy day"),
            "room": ("in a room", "indoors", "at home", "in the house", "on the floor", "inside a room"),
        },
        ("on a {} background", "on {}", "against a {} background", "in front of a {} wall"),
    ),
    "de": Phrases(
        ("ein bild von", "ein foto von", "bild:", "foto von"),
        ("ein", "eine", "der", "die", "das", "einen"),
        _numbers("zwei", "drei", "vier", "fünf", "sechs"),
        ("einige", "mehrere", "viele", ""),
        _columns("red rot rote roter rotes roten|orange orange orangefarbene|yellow gelb gelbe gelber gelbes gelben"
                 "|green grün grüne grüner grünes grünen|blue blau blaue blauer blaues blauen"
                 "|purple lila violett violette violetter violettes|pink rosa pink rosafarbene"
                 "|brown braun braune brauner braunes braunen|black schwarz schwarze schwarzer schwarzes schwarzen"
                 "|white weiß weiße weißer weißes weißen|grey grau graue grauer graues grauen"),
        True,
        (" und ", " neben ", " mit ", ", "),
        {
            "sky": ("am himmel", "unter blauem himmel", "in der luft", "in den wolken"),
            "night": ("bei nacht", "in der nacht", "unter den sternen", "am nachthimmel", "nachts"),
            "sunset": ("bei sonnenuntergang", "am abend", "in der dämmerung"),
            "grass": ("auf der wiese", "im gras", "auf dem rasen", "im garten", "im park"),
            "sea": ("im meer", "auf dem wasser", "auf dem meer", "im ozean", "auf see"),
            "sand": ("im sand", "am strand", "auf dem sand", "in der wüste"),
            "snow": ("im schnee", "auf dem schnee", "im winter"),
            "room": ("im zimmer", "in einem raum", "zu hause", "drinnen", "im haus", "auf dem boden"),
        },
        ("vor {} hintergrund", "auf {} hintergrund", "auf {}"),
    ),
    "fr": Phrases(
        ("une image de", "une photo de", "photo de", "un dessin de"),
        ("un", "une", "le", "la"),
        _numbers("deux", "trois", "quatre", "cinq", "six"),
        ("des", "quelques", "plusieurs", "beaucoup de", ""),
        _columns("red rouge rouges|orange orange oranges|yellow jaune jaunes|green vert verte verts vertes"
                 "|blue bleu bleue bleus bleues|purple violet violette violets violettes|pink rose roses"
                 "|brown marron brun brune|black noir noire noirs noires|white blanc blanche blancs blanches"
                 "|grey gris grise grises"),
        False,
        (" et ", " à côté de ", " avec ", ", "),
        {
            "sky": ("dans le ciel", "sous un ciel bleu", "en l'air", "dans les nuages"),
            "night": ("la nuit", "de nuit", "sous les étoiles", "dans la nuit", "dans le ciel nocturne"),
            "sunset": ("au coucher du soleil", "le soir", "au crépuscule"),
            "grass": ("sur l'herbe", "dans l'herbe", "dans un pré", "dans le jardin", "sur la pelouse", "dans le parc"),
            "sea": ("dans la mer", "sur l'eau", "en mer", "sur la mer", "dans l'océan"),
            "sand": ("sur le sable", "à la plage", "sur la plage", "dans le désert"),
            "snow": ("dans la neige", "sur la neige", "en hiver"),
            "room": ("dans une pièce", "dans une chambre", "à la maison", "à l'intérieur", "sur le sol"),
        },
        ("sur fond {}", "sur un fond {}", "devant un mur {}"),
    ),
    "es": Phrases(
        ("una imagen de", "una foto de", "foto de", "un dibujo de"),
        ("un", "una", "el", "la"),
        _numbers("dos", "tres", "cuatro", "cinco", "seis"),
        ("unos", "unas", "varios", "varias", "muchos", ""),
        _columns("red rojo roja rojos rojas|orange naranja naranjas|yellow amarillo amarilla amarillos amarillas"
                 "|green verde verdes|blue azul azules|purple morado morada morados violeta|pink rosa rosado rosada"
                 "|brown marrón café|black negro negra negros negras|white blanco blanca blancos blancas"
                 "|grey gris grises"),
        False,
        (" y ", " junto a ", " con ", ", "),
        {
            "sky": ("en el cielo", "bajo un cielo azul", "en el aire", "entre las nubes"),
            "night": ("de noche", "por la noche", "bajo las estrellas", "en el cielo nocturno"),
            "sunset": ("al atardecer", "al ocaso", "en la puesta de sol"),
            "grass": ("en la hierba", "sobre la hierba", "en el césped", "en un prado", "en el jardín", "en el parque"),
            "sea": ("en el mar", "en el agua", "sobre el agua", "en el océano"),
            "sand": ("en la arena", "en la playa", "sobre la arena", "en el desierto"),
            "snow": ("en la nieve", "sobre la nieve", "en invierno"),
            "room": ("en una habitación", "en casa", "en el interior", "dentro de casa", "en el suelo"),
        },
        ("sobre fondo {}", "en un fondo {}", "delante de una pared {}"),
    ),
}  # fmt: skip
assert all(set(phrases.colours) == set(COLOUR_NAMES) for phrases in PHRASES.values())

_ENGLISH_PLURALS = {
    "mouse": "mice", "goose": "geese", "fish": "fish", "sheep": "sheep", "deer": "deer", "man": "men", "woman": "women",
    "tooth": "teeth", "foot": "feet", "knife": "knives", "wolf": "wolves", "leaf": "leaves", "child": "children",
    "ox": "oxen", "bison": "bison", "squid": "squid", "scarf": "scarves", "bus": "buses", "hero": "heroes",
    "potato": "potatoes", "tomato": "tomatoes", "mango": "mangoes", "loaf": "loaves", "shelf": "shelves",
}  # fmt: skip


def pluralise(name: str, language: str, rng: np.random.Generator) -> str:
    """The plural of a label: `red apple` -> `red apples`, `pomme rouge` -> `pommes rouges`."""
    if language == "en":
        head, _, last = name.rpartition(" ")
        return f"{head} {_plural_en(last)}".strip()
    if language == "de":
        return (
            name + str(rng.choice(["", "e", "n", "en", "s", "er"])) if not name.endswith(("en", "er", "el")) else name
        )
    words = name.split(" ")
    compound = any(word in ("de", "d'", "à", "con", "en", "du", "al", "del", "y", "et") for word in words)
    ending = _plural_fr if language == "fr" else _plural_es
    return " ".join(ending(word) if place == 0 or not compound else word for place, word in enumerate(words))


def _plural_en(word: str) -> str:
    if word in _ENGLISH_PLURALS:
        return _ENGLISH_PLURALS[word]
    if word.endswith(("s", "x", "ch", "sh", "z")):
        return word if word.endswith("s") and not word.endswith("ss") else word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def _plural_fr(word: str) -> str:
    if word.endswith(("s", "x", "z")):
        return word
    if word.endswith(("eau", "eu")):
        return word + "x"
    return word[:-2] + "aux" if word.endswith("al") else word + "s"


def _plural_es(word: str) -> str:
    if word.endswith(("s", "x")):
        return word
    if word.endswith("z"):
        return word[:-1] + "ces"
    return word + "s" if word[-1:] in "aeiouáéíóú" else word + "es"
