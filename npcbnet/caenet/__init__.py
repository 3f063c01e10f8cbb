"""CAE-Net: an encoder that learned to turn hard images into easy ones, with a thin classifier behind it.

    baseline    LeNet or AlexNet, trained; its entropy says which images are easy, its features which are alike
    converter   a convolutional autoencoder: each image becomes the easiest of its cluster (section III-A)
    transfer    the converter's encoder, frozen, and a thin head that learns the classes (section III-B)
    fine-tuning encoder and head together, kept only if validation images are classified better

Beside the result two controls: the same head behind a random encoder, and the same network trained from scratch.
`python -m npcbnet.train DATASET --net caenet` runs all of it.
"""
