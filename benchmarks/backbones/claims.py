"""What the authors of backbones report of their large networks, with other data and training; not ours, and not to be compared.

Source: as named; papers, project pages and read-me files.
"""

CLAIMS = {
    "stunet": "90.06 % mean Dice on TotalSegmentator (H, project page)",
    "unetpp": "3.9 and 3.4 points of IoU above U-Net and wide U-Net (paper)",
    "r2unet": "AUC 0.9815 on CHASE_DB1, 0.9914 on STARE (paper)",
    "guided-attention": "better accuracy, lower spread on abdomen, heart, brain tumour (abstract, no figure)",
    "wau": "80.30 Dice on Synapse, 74.75 on MSD brain (paper)",
    "paratranscnn": "83.86 Dice on Synapse (read-me)",
    "dformer": "88.83 Dice on Synapse, 92.29 on ACDC (paper)",
    "segformer3d": "82.07 mean Dice on BraTS 2017 (released run's name)",
    "lightmunet": "116 times fewer parameters than nnU-Net (abstract)",
    "msvmunet": "85.00 Dice on Synapse, 92.58 on ACDC (paper)",
    "mambaclinix": "above nnU-Net and Mamba rivals (abstract, no figure)",
    "xlstmunet": "above CNN, transformer and Mamba rivals (abstract, no figure)",
    "hbformer": "volume Dice 0.8782 on Synapse (read-me)",
    "dinounet": "above rivals on seven data sets (abstract, no figure)",
    "swinunetr": "+0.4 % BraTS, +1.3 % BTCV by pre-training (Swin-BOB, abstract)",
    "pctnet": "left atrium 90.71 from scratch, 91.80 pre-trained (demo)",
}
