"""The CNNs of torchvision, fitted to any number of bands and to small windows."""

from torch import nn

from hetlib.models.smallcnn import group_norm


def torchvision_cnn(name: str, bands: int, classes: int, size: int, norm: str | None) -> nn.Module:
    import torchvision

    # Without an option a network has its own BatchNorm; eps and momentum differ.
    options = {"norm_layer": group_norm} if norm == "group" else {}
    model = torchvision.models.get_model(name, weights=None, num_classes=classes, **options)
    path, first = next((p, m) for p, m in model.named_modules() if isinstance(m, nn.Conv2d))
    settings = {key: getattr(first, key) for key in ("kernel_size", "stride", "padding")}
    first = nn.Conv2d(bands, first.out_channels, bias=first.bias is not None, **settings)
    nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
    model.set_submodule(path, first)
    if name == "vgg11":  # its 4,096-wide classifier is made for 7 x 7 maps of photographs
        model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, classes)
    # The first reductions, for large photographs, go until 2 x 2 pixels remain: BatchNorm needs
    # more than one value.
    main = ((path, m) for path, m in model.named_modules() if "downsample" not in path)
    layers = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
    reducing = [(path, m) for path, m in main if isinstance(m, layers) and m.stride in (2, (2, 2))]
    while reducing and size // 2 ** len(reducing) < 2:
        path, module = reducing.pop(0)
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        else:
            model.set_submodule(path, nn.Identity())
    return model
