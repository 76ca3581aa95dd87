"""Where in the body a name belongs and what kind of thing it is, from the words of the name and of its wholes."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Tried in order; the first that matches the name, else the first that matches a whole, decides.
_REGIONS: tuple[tuple[str, str], ...] = (
    (
        "heart",
        r"heart|cardiac|coronary|atri(um|al)|interventricular|mitral|tricuspid|aortic valve|pulmonary valve|papillary"
        r"|(left|right|of) ventricle|conus artery|marginal vein",
    ),
    (
        "brain",
        r"brain|cerebr|cerebell|gyrus|\blobe\b(?=$)|cortex|thalam|hypothal|putamen|pallid|caudate nucl|hippocamp|amygdal"
        r"|colliculus|callos|commissure|geniculate|insula|forebrain|hindbrain|encephal|pons|pontine|medulla obl|stria |habenul"
        r"|fornix|internal capsule|mammillary|tuber cin|lamina term|choroidal artery|basilar|frontobasal|parietal artery|sulcus"
        r"|splenial|communicating artery|occipital artery|limbic|(third|fourth|lateral) ventricle|interventricular for|temporal pole"
        r"|operculum|peduncle|olfactory|cuneus|peri.?aqueduct|tegment|substantia|septal nuclei|preoptic|uncus|subicul|midbrain"
        r"|neurohypo|pituitary|pineal|nucleus|lobule|planum|claustrum|zona incerta|optic (tract|chiasm|radiation)|inferior olive",
    ),
    (
        "pelvis",
        r"pelvi|perine|penis|prostat|testi|uter(us|ine)|ovar|vagin|bladder|rectum|rectal|anal |anococ|scrot|obturator"
        r"|pudend|glute|piriformis|gemell|levator ani|coccy|sacr|pubo|ischio|ilio(cocc)|internal iliac|external iliac|semin|deferent"
        r"|epididym|inguinal|cremaster|bulbospong|mons pubis|quadratus femoris|hip bone|glans|clitor|labial",
    ),
    (
        "limb",
        r"femor|tibi|fibul|patell|genic|knee|poplit|thigh|\bleg\b|foot|\btoe|plantar|tars(al|us)|metatars|calcane|talus"
        r"|navicul|cuboid|cuneiform bone|hallucis|brachi(al|alis|oradialis|i\b)|humer|radi(us|al)|\bulna|forearm|antebrach|\bhand\b"
        r"|palmar|carp|metacarp|finger|thumb|pollicis|digit|indicis|scaphoid|lunate|triquetral|pisiform|trapezi(um)|trapezoid|capitate"
        r"|hamate|anconeus|supinator|pronator|biceps|triceps|coracobrach|cephalic v|basilic|saphenous|soleus|gastrocn|plantaris"
        r"|sartorius|gracilis|adductor|vastus|rectus femoris|semiten|semimem|pectineus|iliotibial|tensor fasciae|peroneal|sural|sciatic"
        r"|axilla|circumflex (hum|scap)|deltoid|teres|interosse|cubital|limb|arm\b|wrist|ankle|elbow|hip$|crural|thenar|lumbrical"
        r"|phalanx|arcuate artery|dorsalis pedis|extensor|flexor|musculocutaneous|median nerve|quadriceps",
    ),
    (
        "neck",
        r"neck|cervical|carotid|jugular|thyro|thyroid|laryn|hyo(id|gl|ep)|glott|arytenoid|cricoid|vocal|pharyn|scalen|digastric"
        r"|sternocleid|omohyoid|sternohyoid|sternothyroid|platysma|longus c|capitis|atlas|axis|trachea|suboccip|stylo|genio"
        r"|mylohyoid|costocervical|phrenic nerve|vagus|accessory nerve|cuneiform cart|corniculate|epiglott|conus elast",
    ),
    (
        "head",
        r"head|face|facial|skull|cran|eye|orbit|ocul|nasal|nose|naso|mouth|tongue|lingual|palat|tooth|teeth|jaw|mandib|maxil"
        r"|ging|lip$|parotid|submandibular|sublingual|ear\b|auric|tympan|cochl|vestibul|lacrim|frontal|occipital|temporal|parietal bone"
        r"|sphenoid|ethmoid|vomer|zygom|masse|pterygoid|buccin|mental|optic|ophthal|trigem|trochl|abduc|rectus$|oblique$|iris|retina"
        r"|cornea|sclera|lens|vitre|choroid|cilia|uvula|tonsil|trochlear|basicranium|neurocranium|viscerocranium|orbicularis|nasalis"
        r"|corrugator|procerus|risorius|depressor|levator (lab|ang|palp|veli)|alveolar|chorda|cheek|chin|infratroch|supratroch",
    ),
    (
        "thorax",
        r"thora|thorac|rib\b|ribs|costal|sternum|sternal|lung|bronch|pulmon|lingular|basal vein|mediast|pleur|azygos"
        r"|subclavi|brachioceph|vena cava sup|esophag|scapul|clavic|pector|serratus|thymus|mammary|breast|supreme|manubr|xiph|trapezius"
        r"|rhomboid|latissimus|intercost|musculophrenic|diaphragm|transversus thor|subscap|supraspin|infraspin|aorta|ventric"
        r"|long thoracic|levator scap|carina|spinalis",
    ),
    (
        "abdomen",
        r"abdom|liver|hepat|gastr|stomach|duoden|jejun|ileum|ileal|ileo|ceca|cecum|colon|colic|appendi|splen|spleen|pancrea"
        r"|kidney|renal|ureter|adrenal|suprarenal|celiac|mesent|peritone|omentum|bile|biliary|cystic|portal|lumb|epigast|psoas|iliac"
        r"|quadratus lumb|testicular|taenia|linea alba|umbil|sigmoid|marginal|phrenic|caudate lobe|intestin|gastrointestinal|cisterna",
    ),
)
_KINDS: tuple[tuple[str, str], ...] = (
    ("lymph node", r"lymph node"),
    ("lymphatic vessel", r"lymph|thoracic duct"),
    (
        "artery",
        r"arter|aorta|celiac trunk|arterial arch|thyrocervical|costocervical|plantar arch|pulmonary trunk|palmar arch",
    ),
    ("vein", r"\bvein|venous|vena |coronary sinus"),
    ("nerve", r"nerve|ganglion|plexus of nerve"),
    ("tooth", r"tooth"),
    ("joint", r"joint|disk|disc\b"),
    ("cartilage", r"cartilage"),
    ("ligament", r"ligament|retinaculum"),
    ("tendon", r"tendon|linea alba|iliotibial"),
    ("fascia", r"fascia"),
    ("membrane", r"membrane|peritone|pleura|dura|tentorium"),
    ("gyrus", r"gyrus"),
    ("lobe of the brain", r"(frontal|parietal|occipital|temporal|limbic) lobe"),
    ("part of the lung", r"bronchopulmonary|lobe of .*lung"),
    ("airway", r"bronch|trachea|larynx"),
)
_KIND_ABOVE: tuple[tuple[str, str], ...] = (
    ("muscle", r"\bmuscle\b"),
    ("bone", r"\bbone\b|vertebra$|\brib\b|phalanx"),
    ("artery", r"arter"),
    ("vein", r"\bvein|venous"),
    ("nerve", r"nerve|ganglion"),
    ("cartilage", r"cartilage"),
    ("part of the brain", r"neuraxis|brain|cerebral"),
    ("gland", r"gland"),
    ("body region", r"body part|subdivision of .*(head|trunk|limb|body)"),
)


def regions_of(name: str, wholes: Iterable[str], kind: str) -> tuple[str, ...]:
    """The part of the body, or nothing where neither the name nor its wholes tell."""
    if kind in ("part of the brain", "gyrus", "lobe of the brain"):
        return ("brain",)
    for text in (name, *wholes):
        for region, pattern in _REGIONS:
            if re.search(pattern, text):
                return (region,)
    return ()


def kind_of(name: str, ancestors: Iterable[str]) -> str:
    """An everyday kind such as "muscle", used as the parent of unpaired rows and of pairs."""
    for kind, pattern in _KINDS:
        if re.search(pattern, name):
            return kind
    for above in ancestors:
        for kind, pattern in _KIND_ABOVE:
            if re.search(pattern, above):
                return kind
    return "body part"
