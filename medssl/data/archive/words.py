"""What text of a header may be shown: words that scanners say, and short codes.

A list of attributes is not enough: people type names where a body part or a kernel belongs. So
of the text in those attributes only that is shown which is made of words below, of at most three
letters in a row, and of few digits: no name of a person of four letters, no number of a patient,
no date. Anything else becomes a keyed hash, which still tells unlike values apart.

Source: DICOM PS3.3 2024, C.7.3.1.1.1 (modalities), C.7.6.1.1.2, C.8.3.1, C.8.9.1 (defined terms);
PS3.16, Annex L (body parts); names of products as their makers write them.
"""

import re

from medssl.data.archive.pseudonyms import Pseudonyms

LONGEST_CODE = 3  # letters in a row that need not be a known word
MOST_DIGITS = 6  # a date has eight
LONGEST_NUMBER = 4  # digits in a row
SHOWABLE = re.compile(r"[A-Za-z0-9 _\-+*./#:()^,&]*")
LETTERS = re.compile(r"[A-Za-z]+")
NUMBERS = re.compile(r"(?<![A-Za-z0-9])\d+(?![A-Za-z0-9])")

KINDS = """
    admire angio asir atten attenuation average axial bidirectional blade body bold bqml breath
    caipi calcium capture cine circ ciss cnts contrast coronal counts csaparallel cube decy deep
    density derived dess diff diffusion directional distorted dixon dtim dynamic echo emission
    enhanced epfid epse fast fgre fidelity field fiesta flair flash fluoro frame freqct fspgr
    gated gems gradient haste helical hepatic hold identity idose image imaginary inphase inverse
    inversion iodine isotropic iter iterative lava learning linear localizer magnetization magnitude
    maps mddw mean mgminml minip mixed mlming mlminml mlml modality mode modulus mono monochrome
    monoenergetic mosaic mott mpgr mprage multi multiecho native noncontrast none norm normalized
    oblique opposed options original osem other outphase parallel parametric pcnt perfusion phase
    plane prepared presat primary projection propcnts propcps propeller proton quantitative
    quantity radial radl rand real recon reconstruction recovery rect regular renal reprojection
    resampled research resolve respiratory safir sagittal sampled save scan scat score scout
    screen secondary segmented sequential shot sigmoid single space spectral spectroscopy spgr
    spin spine spiral spoiled stack state static stddev steady stir subtraction swan tesla time
    tirm tomo topogram trace tracew transmission trig true trufi turbo ultra umolminml umolml
    unknown unsaturated velocity vibe virtual volume volumes volumetric water whole
"""
KERNELS = """
    abdomen bone boneplus boost brain chest chst convolved detail edge extra filter head hires
    inner lung medium sharp sinus smooth soft standard tissue very
"""
BODY = """
    abdomenpelvis abdominal abdpelvis adrenal ankle aorta artery axilla back bile bladder bowel
    brainstem breast bronchus buttock calcaneus calf cardiac carotid cerebellum cervical cervix
    cheek chestabdomen chestabdpelvis circle clavicle coccyx colon cord coronary cranial cranium
    cspine dspine duct elbow esophagus extremity face femoral femur finger foot forearm
    gallbladder hand headneck heart humerus ileum iliac intracranial jejunum kidney knee larynx
    left limb liver lower lspine lumbar lumbosacral lungs mandible maxilla mediastinum mouth neck
    nerve neurocranium nose orbit orbits ovary pancreas parotid partial partialbody patella pelvic
    pelvis penis pharynx pituitary portal prostate pulmonary rectum ribs right sacrum scalp
    scapula scrotum sella shoulder sinuses skull small spinal spleen sspine sternum stomach
    subclavian temporal testis thigh thoracic thorax throat thumb thymus thyroid tibia tongue
    tooth trachea trunk tspine upper ureter urethra uterus vagina vein ventricle vertebra vessel
    vulva wholebody with wrist zygoma
"""
MAKERS = """
    accuray agfa alltech analogic anke aspect biospin bruker canon carestream company corporation
    electric elekta elscint esaote fonar fujifilm general gevaert gmbh group healthcare
    healthineers hitachi holding holdings hologic hyperfine imaging imatron kavo kodak konica
    limited marconi medical medtronic mindray minolta nederland neurologica neusoft paramed
    philips picker planmeca positron samsung shimadzu siemens sirona systems technologies
    technology tomotherapy toshiba trophy united varian vatech wandong xoran ziehm
"""
PRODUCTS = """
    access achieva advance advantage aera airis alexion allegra allegro alpha altea ambition amira
    apertura apex aquilion architect artist ascend asteion atlas avanto balance basic biograph
    bore brightspeed brightview brilliance cartesion celesteion centurian cima classic clinac
    confidence core creator definition discovery drive dstream dual ecam ecat echelon eclipse elan
    elite elition emotion espree esprit essenza ethos evolution exact exceed excelart excite
    expert explorer flow force fortian free frontier galan gemini geminitf genesis gold gyroscan
    halcyon hawkeye hdxt highspeed hireswb hispeed horizon impact incisive infinia infinion
    ingenia ingenuity intera intevo iqon lightning lightspeed lumina magnetom maxima millennium
    mobile multiva naeotom neuviz nova oasis omni open optima orian outlook oval ovation panorama
    perspective pioneer plus polaris precedence precision premier premium presto prime prisma
    prodiva profile pronto prospeed quadra quantum revolution rhapsode robust scanner scenaria
    scope select sensation signa skyra sola somatom sonata spirit supria swoop symbia symphony
    symphonytim system terra titan trio triotim truebeam truepoint tube upmr vantage varicam
    vereos verio vida vision voyager xeleris zoom
"""
WORDS = frozenset(f"{KINDS} {KERNELS} {BODY} {MAKERS} {PRODUCTS}".split())


def is_showable(text: str) -> bool:
    """Say whether a value is made of nothing but known words and short codes."""
    digits = [len(run) for run in re.findall(r"\d+", text)]
    return (
        SHOWABLE.fullmatch(text) is not None
        and all(len(run) <= LONGEST_CODE or run.lower() in WORDS for run in LETTERS.findall(text))
        and max(digits, default=0) <= LONGEST_NUMBER
        and sum(digits) <= MOST_DIGITS
        and len(NUMBERS.findall(text)) <= 1  # 03.11.48
    )


def shown(value: str, hidden: Pseudonyms) -> str:
    """Return a value, or a keyed hash of it that fits all of DICOM's short texts.

    Args:
        value: Without backslashes.
        hidden: The keyed hashes.
    """
    return value if is_showable(value) else hidden("text", value).upper()


def shown_words(text: str | None, hidden: Pseudonyms) -> str | None:
    """Return a text, each of its words as it is or as a keyed hash."""
    if not text:
        return None
    return text if is_showable(text) else " ".join(shown(word, hidden) for word in text.split())
