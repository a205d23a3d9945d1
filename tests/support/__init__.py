"""What tests of several rooms share: agreement of numbers, one bridge to the frameworks, ports."""
