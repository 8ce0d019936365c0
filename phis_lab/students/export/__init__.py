"""What a folded student leaves the lab as, one format a file: for timm, the Hugging Face hub and ONNX.

The format of its own, which `load_student` reads, is `phis_lab.students.export_folder`.
"""
