"""Words that a value of a sort has beside it: units, names of days, colours. Numbers are told by their form."""

NUMBERS = """
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety first second third fourth fifth half
    dozen dozens hundred hundreds thousand thousands million millions billion billions ein eine einen einem einer
    zwei drei vier fünf sechs sieben acht neun zehn elf zwölf zwanzig dreißig vierzig fünfzig sechzig siebzig
    achtzig neunzig hundert tausend deux trois quatre cinq vingt trente quarante cinquante sept huit neuf dix dos
    tres cuatro cinco seis siete ocho nueve diez veinte treinta cuarenta cincuenta
"""
VALUE_WORDS = {
    "price": """
        eur euro euros usd dollar dollars cent cents pound pounds pence gbp chf franc francs franken yen yuan rupee
        rupees rouble roubles ruble rubles crown crowns kronen kroner krona kr peso pesos shilling shillings free
        gratis kostenlos kostenfrei price prices priced cost costs costing fee fees fare fares charge charges charged
        rent salary wage wages paid pay pays bought sold worth preis preise kostet kosten gebühr gebühren money
        income budget coûte prix cuesta precio
    """,
    "person": """
        mr mrs ms dr prof herr frau he she they king queen god everyone everybody anyone anybody nobody someone staff
        team teams people person persons men man women woman children adults police council committee board ministry
        department company companies office government owner owners manager managers director teacher teachers worker
        workers member members user users author authors customer customers tenant tenants driver drivers keeper maker
        holder leader officer officers student students player players clerk nurse doctor doctors president
        administrator administrators technician supervisor caretaker guest guests janitor landlord firm leiter leiterin
        abteilung firma verwalter hausmeister mitarbeiter mitarbeiterin we i
    """,
    "time": """
        january february march april may june july august september october november december januar februar märz mai
        juni juli oktober dezember janvier février mars avril juin juillet août septembre octobre décembre jan feb
        apr aug sept oct nov dec monday mondays tuesday tuesdays wednesday wednesdays thursday thursdays friday fridays
        saturday saturdays sunday sundays montag dienstag mittwoch donnerstag freitag samstag sonntag montags dienstags
        mittwochs donnerstags freitags daily weekly monthly yearly annual annually quarterly every always never once
        twice today yesterday tomorrow now currently morning noon afternoon evening night midnight dawn dusk spring
        summer autumn winter easter christmas before after until since during while when whenever upon later early
        earlier late ago century centuries decade era age war year years month months week weeks day days hour hours
        period time soon first last next end beginning am pm uhr täglich wöchentlich monatlich jährlich jede jeden
        jeder jedes jedem immer nie morgens mittags abends nachts vor nach bis seit während sommer herbst frühling
        ostern weihnachten heute jahr jahre jahren monat woche tag tage tagen
    """,
    "place": """
        here there everywhere north south east west northern southern eastern western street road room floor page place
        city town country village hall near behind beside norden süden osten westen straße hinter neben
    """,
    "duration": NUMBERS
    + """
        second seconds minute minutes hour hours day days week weeks month months year years decade decades century
        centuries daily weekly monthly yearly annual annually every each once twice always never often rarely seldom
        until forever long metres meters sekunden minuten stunden tage tagen wochen monate monaten jahre jahren
        täglich wöchentlich monatlich jährlich jede jeden bis
    """,
    "weight": """
        kg gram grams gramme grammes mg kilogram kilograms kilo kilos tonne tonnes ton tons lb lbs pound pounds oz
        ounce ounces gramm kilogramm weighs weighed weight weights mass wiegt gewicht heavy light
    """,
    "temperature": """
        degree degrees grad kelvin celsius fahrenheit hot cold warm cool boiling freezing heiß kalt temperature
        temperatures
    """,
    "voltage": """
        volt volts voltage spannung kv
    """,
    "power": """
        watt watts kw mw hp horsepower bhp ps
    """,
    "speed": """
        kmh mph knot knots rpm fast faster fastest slow slowly speed speeds hz mhz ghz kbps mbps gbps times second
        minute hour hours minutes
    """,
    "colour": """
        red green blue yellow black white gray grey brown orange purple violet pink gold golden silver beige turquoise
        cyan magenta maroon navy teal crimson scarlet indigo colour colours color colors coloured colored dark light
        rot grün blau gelb schwarz weiß grau braun rouge vert bleu jaune noir blanc
    """,
    "percentage": """
        percent percentage percentages prozent half third quarter majority all most none
    """,
    "number": NUMBERS
    + """
        no none several many few all both single pair couple each every
    """,
    "e-mail address": """
        email mail
    """,
    "phone number": "",
}
