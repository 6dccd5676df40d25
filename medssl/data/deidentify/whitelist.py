"""Which elements a copy may have, and how each is treated.

On the list is what reading an image, its place and its physics takes, and of the patient age and
sex, as in a manifest. Of Table E.1-1 (what identifies) only that is on it for which the standard
has a treatment that hides: UIDs, dates and times.

Source: DICOM PS3.15 2024, Annex E (Basic Application Level Confidentiality Profile, options
Retain Longitudinal Temporal Information with Modified Dates and Retain Patient Characteristics);
PS3.3, C.7.6.1 to C.7.6.3, C.7.6.16, C.8.2, C.8.3, C.8.9, C.8.13, C.8.15 (what images say).
"""

from enum import Enum, auto

from pydicom.datadict import tag_for_keyword


class Treatment(Enum):
    """What becomes of an element in a copy."""

    NUMBER = auto()  # as it is, if it is one
    CODE = auto()  # its known words and codes; others become keyed hashes
    UID = auto()  # the standard's as they are, others become keyed hashes
    TAG = auto()  # as it is, if the standard knows it
    AGE = auto()  # 90 years above 89
    ITEMS = auto()  # each treated in the same way


NUMBERS = """
    Rows Columns NumberOfFrames SamplesPerPixel PlanarConfiguration BitsAllocated BitsStored
    HighBit PixelRepresentation PixelAspectRatio SmallestImagePixelValue LargestImagePixelValue
    PixelPaddingValue PixelPaddingRangeLimit RescaleSlope RescaleIntercept WindowCenter
    WindowWidth RealWorldValueSlope RealWorldValueIntercept RealWorldValueFirstValueMapped
    RealWorldValueLastValueMapped LossyImageCompressionRatio PixelSpacing ImageOrientationPatient
    ImagePositionPatient SliceLocation SliceThickness SpacingBetweenSlices GantryDetectorTilt
    SeriesNumber InstanceNumber AcquisitionNumber ImagesInAcquisition TemporalPositionIdentifier
    NumberOfTemporalPositions TemporalResolution TemporalPositionIndex InStackPositionNumber
    DimensionIndexValues FrameAcquisitionNumber ConcatenationFrameOffsetNumber RepetitionTime
    EchoTime EffectiveEchoTime InversionTime InversionTimes EchoNumbers EchoTrainLength FlipAngle
    NumberOfAverages ImagingFrequency MagneticFieldStrength NumberOfPhaseEncodingSteps
    PercentSampling PercentPhaseFieldOfView PixelBandwidth ReconstructionDiameter SAR dBdt
    TriggerTime TriggerDelayTime NominalInterval NominalCardiacTriggerDelayTime DiffusionBValue
    DiffusionGradientOrientation DiffusionBValueXX DiffusionBValueXY DiffusionBValueXZ
    DiffusionBValueYY DiffusionBValueYZ DiffusionBValueZZ KVP DataCollectionDiameter
    DistanceSourceToDetector DistanceSourceToPatient TableHeight ExposureTime XRayTubeCurrent
    Exposure GeneratorPower FocalSpots SingleCollimationWidth TotalCollimationWidth TableSpeed
    TableFeedPerRotation SpiralPitchFactor RevolutionTime CTDIvol ActualFrameDuration
    FrameReferenceTime DecayFactor DoseCalibrationFactor ScatterFractionFactor ImageIndex
    NumberOfSlices NumberOfTimeSlices SliceSensitivityFactor
"""
CODES = """
    Modality ImageType FrameType PhotometricInterpretation PresentationLUTShape RescaleType
    VOILUTFunction PixelPresentation VolumetricProperties VolumeBasedCalculationTechnique
    LossyImageCompression LossyImageCompressionMethod BurnedInAnnotation PatientPosition
    PatientSex BodyPartExamined Laterality ImageLaterality Manufacturer ManufacturerModelName
    ScanningSequence SequenceVariant ScanOptions SequenceName MRAcquisitionType
    AcquisitionContrast ComplexImageComponent InPlanePhaseEncodingDirection
    DiffusionDirectionality StackID ConvolutionKernel FilterType RotationDirection
    ExposureModulationType AcquisitionType Units SeriesType CountsSource CorrectedImage
    DecayCorrection RandomsCorrectionMethod CollimatorType DimensionOrganizationType
"""
UIDS = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID
    ReferencedSOPClassUID ReferencedSOPInstanceUID DimensionOrganizationUID ConcatenationUID
"""
TAGS = "DimensionIndexPointer FunctionalGroupPointer FrameIncrementPointer"
AGES = "PatientAge"
SEQUENCES = """
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence DimensionOrganizationSequence
    DimensionIndexSequence PlanePositionSequence PlaneOrientationSequence PixelMeasuresSequence
    PixelValueTransformationSequence FrameContentSequence FrameVOILUTSequence
    RealWorldValueMappingSequence MRImageFrameTypeSequence CTImageFrameTypeSequence
    PETFrameTypeSequence MREchoSequence MRModifierSequence MRDiffusionSequence
    DiffusionGradientDirectionSequence DiffusionBMatrixSequence CardiacSynchronizationSequence
    CTReconstructionSequence CTXRayDetailsSequence MRTimingAndRelatedParametersSequence
    MRFOVGeometrySequence MRAveragesSequence FrameAnatomySequence ReferencedImageSequence
    SourceImageSequence
"""
WHITELIST = {
    tag_for_keyword(keyword): treatment
    for treatment, keywords in (
        (Treatment.NUMBER, NUMBERS),
        (Treatment.CODE, CODES),
        (Treatment.UID, UIDS),
        (Treatment.TAG, TAGS),
        (Treatment.AGE, AGES),
        (Treatment.ITEMS, SEQUENCES),
    )
    for keyword in keywords.split()
}
