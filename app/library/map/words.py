"""The words from which regions of the map get their names: common nouns and scenes, in English."""

from typing import Final

_WORDS = """
beach, coast, cliff, ocean, waves, island, harbor, pier, lighthouse, lagoon, coral reef, underwater, lake, river,
stream, waterfall, swamp, pond, glacier, iceberg, snow, ice, frost, mountain, valley, canyon, hill, volcano, cave,
desert, dunes, rocks, forest, jungle, rainforest, palm tree, pine trees, autumn leaves, tree, meadow, field,
wheat field, vineyard, orchard, farm, barn, garden, park, lawn, path, trail, sunset, sunrise, clouds, blue sky, fog,
rain, storm, lightning, rainbow, night sky, stars, moon, northern lights, fireworks, fire, smoke, desert road

flower, rose, tulip, sunflower, orchid, daisy, bouquet, cactus, fern, moss, grass, leaf, mushroom, houseplant, seeds

dog, puppy, cat, kitten, horse, cow, sheep, goat, pig, donkey, rabbit, hamster, mouse, squirrel, hedgehog, fox, wolf,
bear, panda, lion, tiger, leopard, elephant, rhinoceros, hippopotamus, giraffe, zebra, camel, kangaroo, koala, monkey,
gorilla, deer, moose, bison, bat, bird, eagle, hawk, owl, parrot, pigeon, seagull, duck, goose, swan, chicken, rooster,
turkey, penguin, flamingo, peacock, ostrich, crow, fish, goldfish, shark, whale, dolphin, seal, octopus, jellyfish,
crab, lobster, shrimp, starfish, shell, snail, turtle, frog, snake, lizard, crocodile, dinosaur, insect, butterfly,
bee, ant, ladybug, beetle, dragonfly, spider, scorpion, worm, pet, wild animal, farm animal, zoo, aquarium

apple, banana, orange, lemon, grapes, strawberry, cherry, blueberries, peach, pear, pineapple, mango, melon,
watermelon, kiwi, coconut, avocado, tomato, potato, carrot, onion, garlic, pepper, chili, corn, cucumber, broccoli,
cabbage, lettuce, pumpkin, eggplant, beans, nuts, fruit, vegetables, salad, soup, stew, bread, sandwich, burger, pizza,
hot dog, fries, pasta, noodles, rice, sushi, taco, meat, steak, sausage, seafood, egg, cheese, butter, breakfast,
pancakes, waffle, cake, birthday cake, cupcake, pie, cookie, donut, croissant, chocolate, candy, ice cream, dessert,
honey, jam, coffee, tea, milk, juice, beer, wine, champagne, cocktail, bottle, glass, cup, plate, bowl, spoon, fork,
knife, pan, cooking pot, restaurant, market, picnic, barbecue

person, man, woman, child, baby, boy, girl, teenager, old man, old woman, couple, family, crowd, group of people,
friends, portrait, face, smile, eyes, hands, feet, hair, beard, bride, groom, wedding, birthday party, graduation,
funeral, parade, protest, festival, carnival, concert, band, singer, guitar, piano, violin, drums, trumpet, dancer,
ballet, theater, actor, clown, magician, circus, soldier, police officer, firefighter, doctor, nurse, teacher, student,
chef, waiter, farmer, worker, builder, businessman, artist, photographer, scientist, astronaut, king, queen, angel

football, american football, basketball, baseball, volleyball, tennis, table tennis, badminton, golf, hockey, rugby,
cricket, boxing, wrestling, martial arts, fencing, archery, gymnastics, yoga, running, race, marathon, cycling,
swimming, diving, surfing, sailing, rowing, kayak, fishing, skiing, snowboarding, ice skating, skateboarding,
climbing, hiking, camping, tent, horse riding, hunting, bowling, billiards, chess, playground, swing, slide, stadium,
gym, swimming pool, trophy, medal, ball

car, sports car, vintage car, race car, taxi, police car, ambulance, fire engine, truck, van, bus, tram, train,
railway, subway, station, bicycle, motorcycle, scooter, tractor, excavator, crane, airplane, helicopter, airport,
hot air balloon, parachute, rocket, satellite, boat, sailboat, ship, ferry, cruise ship, submarine, canoe, wheel,
engine, road, highway, bridge, tunnel, traffic, traffic light, street sign, parking lot, gas station

city, skyline, skyscraper, downtown, street, alley, square, village, town, house, cottage, apartment building, hotel,
castle, palace, ruins, tower, clock tower, church, cathedral, mosque, temple, pagoda, monument, statue, fountain,
museum, library, school, classroom, university, hospital, office, factory, warehouse, power plant, wind turbine,
solar panels, construction site, shop, supermarket, shopping mall, bakery, cafe, bar, cinema, casino, prison,
cemetery, windmill, bench, fence, gate, wall, brick wall, door, window, stairs, roof, balcony, graffiti, neon sign

kitchen, living room, bedroom, bathroom, dining room, hallway, garage, basement, fireplace, furniture, chair, table,
desk, sofa, bed, lamp, candle, mirror, carpet, curtain, pillow, blanket, shelf, bookshelf, clock, vase, painting,
picture frame, refrigerator, oven, washing machine, bathtub, shower, toilet, sink, towel, soap, toothbrush

t-shirt, shirt, blouse, sweater, hoodie, jacket, coat, suit, dress, evening dress, skirt, jeans, pants, shorts,
underwear, swimsuit, bikini, pajamas, uniform, costume, hat, cap, helmet, scarf, gloves, socks, shoes, sneakers, boots,
sandals, high heels, slippers, belt, tie, glasses, sunglasses, watch, ring, necklace, earrings, jewelry, crown,
handbag, backpack, suitcase, umbrella, wallet, makeup, perfume

book, newspaper, magazine, letter, envelope, map, globe, calendar, notebook, pencil, pen, paint brush, scissors,
ruler, document, text, handwriting, sign, poster, logo, flag, chart, diagram, blueprint, screenshot, website,
computer, laptop, keyboard, phone, tablet, television, camera, printer, headphones, microphone, speaker, radio,
game controller, video game, robot, drone, battery, light bulb, cable, tool, hammer, saw, screwdriver, wrench, drill,
nail, screw, rope, chain, key, lock, ladder, bucket, broom, box, package, gift, balloon, ribbon, toy, teddy bear,
doll, puzzle, dice, playing cards, money, coins, credit card, gold, diamond, medicine, pills, syringe, microscope,
telescope, magnet, gun, sword, shield, bomb, trash, recycling

christmas tree, santa claus, snowman, halloween pumpkin, easter eggs, valentine heart, new year, cross, buddha, mask,
ghost, skull, dragon, unicorn, mermaid, fairy, monster, alien, superhero, cartoon, comic, drawing, sketch, watercolor,
oil painting, sculpture, pottery, mosaic, stained glass, tattoo, abstract art, pattern, texture, stripes, polka dots,
symbol, arrow, circle, heart, star, number, letters, emoji, black and white photo, old photograph, aerial view,
satellite image, close-up, macro, silhouette, reflection, shadow, bokeh, selfie, x-ray
"""

WORDS: Final = tuple(word for word in (part.strip() for part in _WORDS.replace("\n", " , ").split(",")) if word)
