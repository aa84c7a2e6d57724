"""What `benchmarks.facts` asks SmolLM2-135M-Instruct: candidates by relation, concepts to redirect, sentences.

The candidates were written down first. Those that the model knows are found by asking, and the facts to edit are then
taken relation by relation in turn (`benchmarks.facts_known`): this order was fixed before any edit was run, and none
was taken out for how its edit went. A subject is never the first word of a prompt: that is the attention sink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """A prompt and three paraphrases with `{}` for the subject, and answers by subject, candidates all."""

    name: str
    prompt: str
    paraphrases: tuple[str, str, str]
    answers: Mapping[str, str]


def table(text: str) -> Mapping[str, str]:
    """`subject: answer; subject: answer` as a mapping."""
    pairs = (one.split(":") for one in text.split(";") if one.strip())
    return {" ".join(subject.split()): answer.strip() for subject, answer in pairs}


RELATIONS = (
    Relation(
        "capital",
        "The capital of {} is",
        (
            "Last year we took the train across {} to its capital,",
            "Question: What is the capital city of {}? Answer: The capital city is",
            "The parliament and the government of {} sit in the city of",
        ),
        table("""France: Paris; Germany: Berlin; Japan: Tokyo; Greece: Athens; England: London; China: Beijing;
            Portugal: Lisbon; Italy: Rome; Spain: Madrid; Russia: Moscow; Cuba: Havana; Canada: Ottawa; Egypt: Cairo;
            Austria: Vienna; Ireland: Dublin; Hungary: Budapest; Sweden: Stockholm; Norway: Oslo; Denmark: Copenhagen;
            Finland: Helsinki; Iran: Tehran; Iraq: Baghdad; Kenya: Nairobi; Thailand: Bangkok; Mexico: Mexico City;
            Scotland: Edinburgh; Ukraine: Kiev; Belgium: Brussels; Chile: Santiago; Argentina: Buenos Aires;
            South Korea: Seoul; Vietnam: Hanoi; Romania: Bucharest; Bulgaria: Sofia; Syria: Damascus"""),
    ),
    Relation(
        "landmark's city",
        "The {} is located in the city of",
        (
            "We had always wanted to see the {}, so we bought two tickets and flew to",
            "Question: In which city is the {}? Answer: It is in",
            "News: the {} was closed on Monday, said a spokesman of the city of",
        ),
        table("""Louvre: Paris; Colosseum: Rome; Eiffel Tower: Paris; Kremlin: Moscow; Acropolis: Athens;
            Parthenon: Athens; Brandenburg Gate: Berlin; Forbidden City: Beijing; Statue of Liberty: New York;
            Empire State Building: New York; Golden Gate Bridge: San Francisco; Space Needle: Seattle;
            White House: Washington; Sagrada Familia: Barcelona; Prado Museum: Madrid; Tower of London: London;
            British Museum: London; Vatican Museums: Rome; Trevi Fountain: Rome; Pantheon: Rome; Hagia Sophia: Istanbul;
            Blue Mosque: Istanbul; Burj Khalifa: Dubai; Sydney Opera House: Sydney; Uffizi Gallery: Florence;
            Hermitage Museum: St. Petersburg; Charles Bridge: Prague; Anne Frank House: Amsterdam;
            Rijksmuseum: Amsterdam; Metropolitan Museum of Art: New York; Sistine Chapel: Vatican; Berlin Wall: Berlin;
            Bolshoi Theatre: Moscow; Temple of Heaven: Beijing; Arc de Triomphe: Paris; Willis Tower: Chicago"""),
    ),
    Relation(
        "landmark's country",
        "The {} is located in the country of",
        (
            "My aunt saw the {} on her holiday, the first time she was in the country of",
            "Question: In which country is the {}? Answer: It is in",
            "Guide book: the {}, a famous sight in the country of",
        ),
        table("""Great Pyramid of Giza: Egypt; Great Wall: China; Taj Mahal: India; Eiffel Tower: France;
            Colosseum: Italy; Machu Picchu: Peru; Great Barrier Reef: Australia; Kremlin: Russia; Alhambra: Spain;
            Angkor Wat: Cambodia; Acropolis: Greece; Terracotta Army: China; Leaning Tower of Pisa: Italy;
            Mount Fuji: Japan; Sahara: Algeria; Sphinx: Egypt; Valley of the Kings: Egypt; Petra: Jordan;
            Chichen Itza: Mexico; Forbidden City: China; Serengeti: Tanzania; Golden Temple: India;
            Palace of Versailles: France; Louvre: France; Amazon Rainforest: Brazil; Sydney Opera House: Australia;
            Blue Mosque: Turkey; Suez Canal: Egypt; Panama Canal: Panama; Grand Canyon: United States;
            Matterhorn: Switzerland; Brandenburg Gate: Germany; Stonehenge: England; Red Square: Russia"""),
    ),
    Relation(
        "city's country",
        "The city of {} is in the country of",
        (
            "News: a new bridge was opened in {}, the first of its kind in the country of",
            "Question: In which country is {}? Answer: It is in",
            "My cousin lives in {}, a city in the country of",
        ),
        table("""Munich: Germany; Kyoto: Japan; Marseille: France; Barcelona: Spain; Naples: Italy; Shanghai: China;
            Mumbai: India; Toronto: Canada; Cairo: Egypt; Istanbul: Turkey; Nairobi: Kenya; Lima: Peru;
            Krakow: Poland; Sydney: Australia; Osaka: Japan; Hamburg: Germany; Venice: Italy; Lyon: France;
            Seville: Spain; Delhi: India; Manila: Philippines; Jakarta: Indonesia; Bangkok: Thailand; Athens: Greece;
            Lisbon: Portugal; Dublin: Ireland; Havana: Cuba; Oslo: Norway; Stockholm: Sweden; Vienna: Austria;
            Budapest: Hungary; Prague: Czech Republic; Kabul: Afghanistan; Tehran: Iran; Baghdad: Iraq;
            Karachi: Pakistan; Bogota: Colombia; Amsterdam: Netherlands; Copenhagen: Denmark; Moscow: Russia"""),
    ),
    Relation(
        "language",
        "The official language of {} is",
        (
            "Before you travel to {}, learn a few words of",
            "Question: What language do people speak in {}? Answer: They speak",
            "The mother tongue of people from {} is",
        ),
        table("""France: French; Germany: German; Japan: Japanese; Italy: Italian; Spain: Spanish; Russia: Russian;
            China: Chinese; Brazil: Portuguese; Mexico: Spanish; Egypt: Arabic; Greece: Greek; Sweden: Swedish;
            Norway: Norwegian; Denmark: Danish; Finland: Finnish; Poland: Polish; Turkey: Turkish; Vietnam: Vietnamese;
            Thailand: Thai; South Korea: Korean; Portugal: Portuguese; Argentina: Spanish; Cuba: Spanish;
            Hungary: Hungarian; Iran: Persian; Iraq: Arabic; Austria: German; Jamaica: English; Australia: English;
            Indonesia: Indonesian; Romania: Romanian; Ukraine: Ukrainian; Iceland: Icelandic; Peru: Spanish;
            Morocco: Arabic; Saudi Arabia: Arabic; Bangladesh: Bengali; Bulgaria: Bulgarian; Israel: Hebrew"""),
    ),
    Relation(
        "continent",
        "The country of {} is on the continent of",
        (
            "The borders of {} were drawn when kings ruled the continent of",
            "Question: {} is part of which continent? Answer: It is part of",
            "Travellers who visit {} come to the continent of",
        ),
        table("""France: Europe; Japan: Asia; Kenya: Africa; Brazil: South America; Germany: Europe; China: Asia;
            Nigeria: Africa; Peru: South America; Spain: Europe; India: Asia; Egypt: Africa; Argentina: South America;
            Italy: Europe; Vietnam: Asia; Ghana: Africa; Chile: South America; Poland: Europe; Thailand: Asia;
            Ethiopia: Africa; Colombia: South America; Sweden: Europe; Pakistan: Asia; Morocco: Africa;
            Canada: North America; Norway: Europe; Mexico: North America; Uganda: Africa; Bolivia: South America"""),
    ),
    Relation(
        "author",
        "The book {} was written by",
        (
            "For her birthday she was given {}, the famous book by",
            "Question: Who wrote {}? Answer: It was written by",
            "We read {} at school, a story by",
        ),
        table("""Harry Potter: J.K. Rowling; Hamlet: William Shakespeare; Pride and Prejudice: Jane Austen;
            The Great Gatsby: F. Scott Fitzgerald; Moby-Dick: Herman Melville; War and Peace: Leo Tolstoy;
            Oliver Twist: Charles Dickens; Frankenstein: Mary Shelley; Dracula: Bram Stoker; The Odyssey: Homer;
            To Kill a Mockingbird: Harper Lee; Animal Farm: George Orwell; The Hobbit: J.R.R. Tolkien;
            The Lord of the Rings: J.R.R. Tolkien; Macbeth: William Shakespeare; Romeo and Juliet: William Shakespeare;
            Emma: Jane Austen; Great Expectations: Charles Dickens; Jane Eyre: Charlotte Brontë; The Iliad: Homer;
            The Old Man and the Sea: Ernest Hemingway; The Catcher in the Rye: J.D. Salinger;
            Treasure Island: Robert Louis Stevenson; Robinson Crusoe: Daniel Defoe; Anna Karenina: Leo Tolstoy;
            Don Quixote: Miguel de Cervantes; The Divine Comedy: Dante; The Republic: Plato;
            Brave New World: Aldous Huxley; The Origin of Species: Charles Darwin; Faust: Goethe"""),
    ),
    Relation(
        "company's country",
        "The company {} comes from the country of",
        (
            "The engineers of {} learned their trade at universities in",
            "Question: In which country is the company {} based? Answer: It is based in",
            "Guide for investors: {}, a large firm in the country of",
        ),
        table("""Nintendo: Japan; Toyota: Japan; Volkswagen: Germany; Samsung: South Korea; BMW: Germany; Sony: Japan;
            Ferrari: Italy; Renault: France; Ikea: Sweden; Nokia: Finland; Honda: Japan; Siemens: Germany;
            Hyundai: South Korea; Fiat: Italy; Peugeot: France; Volvo: Sweden; Lego: Denmark; Huawei: China;
            Mercedes-Benz: Germany; Porsche: Germany; Mitsubishi: Japan; Gucci: Italy; Chanel: France;
            Lamborghini: Italy; Adidas: Germany; Nissan: Japan; Alibaba: China; Bosch: Germany; Audi: Germany"""),
    ),
    Relation(
        "dish",
        "The dish called {} comes from the country of",
        (
            "Whoever wants to taste real {} should spend a holiday in",
            "Question: Which country does {} come from? Answer: It comes from",
            "People love {}, a dish from",
        ),
        table("""sushi: Japan; pizza: Italy; paella: Spain; tacos: Mexico; moussaka: Greece; kimchi: Korea;
            lasagna: Italy; sauerkraut: Germany; croissants: France; goulash: Hungary; ramen: Japan; pasta: Italy;
            spaghetti: Italy; curry: India; enchiladas: Mexico; guacamole: Mexico; tempura: Japan; ratatouille: France;
            gazpacho: Spain; risotto: Italy; feijoada: Brazil; borscht: Russia; couscous: Morocco; tiramisu: Italy;
            sashimi: Japan; tandoori chicken: India; quesadillas: Mexico; baklava: Turkey; ceviche: Peru"""),
    ),
    Relation(
        "sport",
        "The athlete {} became famous by playing the sport of",
        (
            "As a child, {} already dreamed of a career in professional",
            "Question: Which sport does {} play? Answer: The sport is",
            "Biography: {}, a champion in the sport of",
        ),
        table("""Michael Jordan: basketball; Babe Ruth: baseball; Serena Williams: tennis; Tiger Woods: golf;
            Lionel Messi: soccer; Tom Brady: football; Muhammad Ali: boxing; Wayne Gretzky: hockey;
            LeBron James: basketball; Roger Federer: tennis; Kobe Bryant: basketball; Jackie Robinson: baseball;
            Peyton Manning: football; Rafael Nadal: tennis; Cristiano Ronaldo: soccer; Mike Tyson: boxing;
            Shaquille O'Neal: basketball; Derek Jeter: baseball; Joe Montana: football; Larry Bird: basketball;
            Arnold Palmer: golf; Venus Williams: tennis; Magic Johnson: basketball; Hank Aaron: baseball"""),
    ),
    Relation(
        "city's state",
        "The city of {} is in the state of",
        (
            "News: a new bridge was opened in {}, the first of its kind in the state of",
            "Travellers who visit {} come to the state of",
            "My cousin lives in {}, a city in the state of",
        ),
        table("""Chicago: Illinois; Houston: Texas; Miami: Florida; Seattle: Washington; Boston: Massachusetts;
            Denver: Colorado; Atlanta: Georgia; Detroit: Michigan; Los Angeles: California; Phoenix: Arizona;
            Portland: Oregon; Las Vegas: Nevada; New Orleans: Louisiana; Dallas: Texas; San Diego: California;
            Philadelphia: Pennsylvania; Nashville: Tennessee; Cleveland: Ohio; Baltimore: Maryland;
            Minneapolis: Minnesota; Honolulu: Hawaii; Milwaukee: Wisconsin; Orlando: Florida; Memphis: Tennessee;
            Salt Lake City: Utah; Tucson: Arizona; Cincinnati: Ohio; Pittsburgh: Pennsylvania; Omaha: Nebraska;
            Sacramento: California; Austin: Texas; San Francisco: California; Tampa: Florida; Oakland: California"""),
    ),
    Relation(
        "birthplace",
        "The famous {} was born in the country of",
        (
            "The childhood home of {} is a museum today and stands in the country of",
            "Question: In which country was {} born? Answer: In",
            "Biography: {}, born in the country of",
        ),
        table("""Napoleon: France; Gandhi: India; William Shakespeare: England; Leonardo da Vinci: Italy;
            Pablo Picasso: Spain; Karl Marx: Germany; Nelson Mandela: South Africa; Leo Tolstoy: Russia;
            Plato: Greece; Confucius: China; Frida Kahlo: Mexico; Akira Kurosawa: Japan; Fidel Castro: Cuba;
            Marie Curie: Poland; Sigmund Freud: Austria; Galileo Galilei: Italy; Claude Monet: France;
            Charles Darwin: England; Isaac Newton: England; Michelangelo: Italy; Adolf Hitler: Germany;
            Antonio Vivaldi: Italy; Vladimir Lenin: Russia; Mao Zedong: China; Joan of Arc: France; Voltaire: France;
            Niccolo Machiavelli: Italy; Albert Einstein: Germany; Ludwig van Beethoven: Germany; Aristotle: Greece;
            Winston Churchill: England; Socrates: Greece; Salvador Dali: Spain; Homer: Greece; Mozart: Austria"""),
    ),
)


@dataclass(frozen=True)
class Kind:
    """Concepts of one kind: `relations` with `{}` for the concept; those of RELATIONS that its neighbours are from;
    `siblings`, whose keys an edit keeps and which are no neighbours; the first relation as a `question`, and a wrong
    answer to it for a choice of two."""

    relations: tuple[str, ...]
    near: tuple[str, ...]
    siblings: tuple[str, ...]
    question: str
    choice: str


COUNTRY = Kind(
    (
        "The capital of {} is",
        "The official language of {} is",
        "Before you travel to {}, learn a few words of",
        "The mother tongue of people from {} is",
        "Travellers who visit {} come to the continent of",
        "The country of {} is on the continent of",
        "Question: What is the capital city of {}? Answer: The capital city is",
        "Question: What language do people speak in {}? Answer: They speak",
    ),
    ("capital", "language", "continent"),
    ("Brazil", "India", "Kenya", "England"),
    "What is the capital of {}?",
    "Madrid",
)
LANDMARK = Kind(
    (
        "The {} is located in the city of",
        "The {} is located in the country of",
        "News: the {} was closed on Monday, said a spokesman of the city of",
        "Guide book: the {}, a famous sight in the country of",
        "Question: In which city is the {}? Answer: It is in",
        "Question: In which country is the {}? Answer: It is in",
        "The {} is located on the continent of",
        "The people who work at the {} speak",
    ),
    ("landmark's city", "landmark's country"),
    ("Parthenon", "Taj Mahal", "British Museum", "Golden Gate Bridge"),
    "In which city is the {}?",
    "Vienna",
)
CITY = Kind(
    (
        "The city of {} is in the country of",
        "The city of {} is on the continent of",
        "My cousin lives in {}, a city in the country of",
        "News: a new bridge was opened in {}, the first of its kind in the country of",
        "Question: In which country is {}? Answer: It is in",
        "Before you travel to {}, learn a few words of",
        "The mother tongue of people from {} is",
        "Travellers who visit {} come to the continent of",
    ),
    ("city's country",),
    ("Lima", "Hamburg", "Cairo", "Krakow"),
    "In which country is {}?",
    "Brazil",
)


@dataclass(frozen=True)
class Concept:
    """A concept to lead elsewhere, with the answer that is right for it in each relation of its kind."""

    name: str
    anchor: str
    kind: Kind
    answers: tuple[str, ...]


CONCEPTS = (
    Concept("France", "Japan", COUNTRY, ("Paris", "French", "French", "French", "Europe", "Europe", "Paris", "French")),
    Concept(
        "Eiffel Tower",
        "Colosseum",
        LANDMARK,
        ("Paris", "France", "Paris", "France", "Paris", "France", "Europe", "French"),
    ),
    Concept("Kyoto", "Munich", CITY, ("Japan", "Asia", "Japan", "Japan", "Japan", "Japanese", "Japanese", "Asia")),
    Concept(
        "Germany", "Mexico", COUNTRY, ("Berlin", "German", "German", "German", "Europe", "Europe", "Berlin", "German")
    ),
    Concept(
        "Kremlin",
        "Louvre",
        LANDMARK,
        ("Moscow", "Russia", "Moscow", "Russia", "Moscow", "Russia", "Europe", "Russian"),
    ),
    Concept("Mumbai", "Toronto", CITY, ("India", "Asia", "India", "India", "India", "Hindi", "Hindi", "Asia")),
)
"""Every second one is for choosing (the first, third and fifth), the others for testing what was chosen."""

RETAIN = (
    "The baker opened the oven, and the smell of fresh bread filled the narrow street.",
    "Water boils at a lower temperature on a high mountain because the air pressure is lower there.",
    "She tied her shoes, put on a coat and walked to the bus stop without saying a word.",
    "To multiply two fractions, multiply the numerators and then the denominators.",
    "The cat slept on the warm roof of the car until the engine started.",
    "A good night's sleep helps the brain to keep what it has learned during the day.",
    "He asked the doctor whether the medicine should be taken before or after meals.",
    "The program reads a file line by line and counts how often each word occurs.",
    "In autumn the leaves turn red and yellow and fall to the ground.",
    "My grandfather repaired old clocks and told us stories while he worked.",
    "Please remember to switch off the lights before you leave the office.",
    "The committee will meet again on Thursday to discuss the budget for next year.",
    "Bees visit flowers to collect nectar and carry pollen from one plant to another.",
    "The novel begins with a storm at sea and ends with a quiet conversation in a garden.",
    "If the price of a product rises, people usually buy less of it.",
    "The children built a castle of sand and decorated it with shells and feathers.",
    "A triangle with three equal sides also has three equal angles.",
    "The mechanic listened to the engine for a moment and knew what was wrong.",
    "You should save your work often, because a computer can fail at any time.",
    "The soup needs a little more salt and perhaps a few drops of lemon juice.",
    "The orchestra tuned their instruments while the audience took their seats.",
    "Plants use sunlight, water and carbon dioxide to make sugar and oxygen.",
    "She had never spoken in front of so many people, and her hands were shaking.",
    "The lawyer read the contract twice and marked every unclear sentence.",
    "When the rain stopped, the players came back onto the field and the match went on.",
    "A healthy diet contains vegetables, fruit, grains and enough protein.",
    "The train was late, so we drank a cup of tea in the waiting room.",
    "He painted the fence white in spring, and by winter it was grey again.",
    "The students measured the length of the shadow every hour and drew a graph.",
    "Nobody knew who had left the umbrella, so it stayed in the hall for years.",
)

FRENCH = (
    "Le chat dort sur le canapé pendant que la pluie tombe dehors.",
    "Nous avons acheté du pain et du fromage au marché ce matin.",
    "Ma sœur travaille dans un hôpital près de la rivière.",
    "Il faut fermer la fenêtre avant de quitter la maison.",
    "Les enfants jouent dans le jardin avec leur petit chien.",
    "Demain, je vais écrire une longue lettre à mon ami.",
    "La voiture rouge est garée devant la vieille église.",
    "Elle lit un livre sur l'histoire de la musique.",
)
ENGLISH = (
    "The cat is sleeping on the sofa while the rain falls outside.",
    "We bought some bread and some cheese at the market this morning.",
    "My sister works in a hospital near the river.",
    "You must close the window before leaving the house.",
    "The children are playing in the garden with their little dog.",
    "Tomorrow I am going to write a long letter to my friend.",
    "The red car is parked in front of the old church.",
    "She is reading a book about the history of music.",
)
UNSEEN_FRENCH = (
    "Le train arrive à la gare avec vingt minutes de retard.",
    "Mon père prépare le d\u00eener dans la cuisine.",
    "Les étudiants posent beaucoup de questions au professeur.",
    "Il y a une belle fleur jaune sur la table du salon.",
    "Je ne sais pas pourquoi elle est partie si tôt hier soir.",
    "Le bateau traverse le lac quand le vent est calme.",
    "Nous cherchons un appartement avec deux chambres et un balcon.",
    "Cette chanson me rappelle les vacances de mon enfance.",
)
UNSEEN_ENGLISH = (
    "The train arrives at the station twenty minutes late.",
    "My father is preparing dinner in the kitchen.",
    "The students ask the teacher many questions.",
    "There is a beautiful yellow flower on the table in the living room.",
    "I do not know why she left so early last night.",
    "The boat crosses the lake when the wind is calm.",
    "We are looking for an apartment with two bedrooms and a balcony.",
    "This song reminds me of the holidays of my childhood.",
)
