"""A small labelled library in several languages: which pictures the words of a query must find first."""

import pytest

from app.words.analysis import Document
from tests.support.words import index_of, rows_of

PICTURES = {
    1: Document("Urlaub/Hundehütte.jpg", "Zwei Hunde vor ihrer Hütte"),
    2: Document("Urlaub/Haeuser_am_See.jpg", "Bunte Häuser an einem Bergsee", ("Häuser", "Ufer")),
    3: Document("Urlaub/IMG_1001.jpg", "Ein altes Haus im Schnee"),
    4: Document("Urlaub/Strassenbahn.jpg", "Die Straßenbahn fährt durch die Stadt"),
    5: Document("Urlaub/IMG_1002.jpg", "Ein Hund läuft am Strand", ("Strand",)),
    6: Document("vacances/chien-plage.jpg", "Un chien court sur la plage"),
    7: Document("vacances/IMG_1003.jpg", "Deux chevaux dans un pré", ("chevaux",)),
    8: Document("vacances/ete_2022.jpg", "L'été à la campagne, des fleurs rouges"),
    9: Document("vacances/IMG_1004.jpg", "Une fleur jaune"),
    10: Document("vacaciones/perros.jpg", "Dos perros corriendo en la playa"),
    11: Document("vacaciones/IMG_1005.jpg", "El niño come una manzana", ("niño", "fruta")),
    12: Document("vacaciones/canciones.jpg", "Una mujer canta canciones en la calle"),
    13: Document("holiday/beaches.jpg", "Two children playing on sandy beaches"),
    14: Document("holiday/IMG_1006.jpg", "A woman is running with her dog along the river"),
    15: Document("holiday/IMG_1007.jpg", "A happy family eating cherries", ("cherries",)),
    16: Document("holiday/GoldenGateBridge.jpg", "A red bridge in the fog"),
    17: Document("holiday/2019-08-03_london (2).jpg", "A double-decker bus in the city"),
    18: Document("旅行/犬と海.jpg", "海辺を走る犬"),
    19: Document("旅行/IMG_1008.jpg", "東京の夜景"),
    20: Document("旅行/IMG_1009.jpg", "两只猫在沙发上睡觉"),
    21: Document("поездка/собаки.jpg", "Две собаки играют в снегу"),
    22: Document("ταξίδι/IMG_1010.jpg", "Μια γάτα στον ήλιο"),
}
INDEX = index_of(PICTURES)

FINDS = [
    ("Hund", {1, 5}),
    ("Hunde", {1, 5}),
    ("hütte", {1}),
    ("huette", {1}),
    ("Haus", {2, 3}),
    ("haeuser", {2, 3}),
    ("See", {2}),
    ("strasse", {4}),
    ("Straße", {4}),
    ("Strand", {5}),
    ("chiens", {6}),
    ("cheval", {7}),
    ("ETE", {8}),
    ("fleur", {8, 9}),
    ("rouge", {8}),
    ("perro", {10}),
    ("corre", {10}),
    ("niños", {11}),
    ("nino", {11}),
    ("canción", {12}),
    ("manzanas", {11}),
    ("beach", {13}),
    ("plays", {13}),
    ("run", {14}),
    ("dogs", {14}),
    ("women", {14}),
    ("child", {13}),
    ("cherry", {15}),
    ("golden gate", {16}),
    ("bridges", {16}),
    ("london 2019", {17}),
    ("buses", {17}),
    ("犬", {18}),
    ("夜景", {19}),
    ("東京", {19}),
    ("猫", {20}),
    ("沙发", {20}),
    ("собаки", {21}),
    ("снегу", {21}),
    ("γατα", {22}),
    ("ΉΛΙΟ", {22}),
]


@pytest.mark.parametrize(("query", "wanted"), FINDS, ids=[query for query, _ in FINDS])
def test_the_labelled_pictures_come_first(query: str, wanted: set[int]) -> None:
    assert set(rows_of(INDEX.search(query, len(wanted)).hits)) == wanted


@pytest.mark.parametrize(
    ("query", "unwanted"), [("car", {"cartoon.jpg"}), ("ant", {"antler.jpg"}), ("rain", {"train.jpg"})]
)
def test_short_words_are_not_found_within_others(query: str, unwanted: set[str]) -> None:
    index = index_of(dict(enumerate(unwanted)))
    assert index.search(query, 5).hits == []
