"""What a fixed teacher gives for a data set, computed once and read from disk while training."""

from amad_torch.cache.building import cache_teacher
from amad_torch.cache.reading import TeacherCache
from amad_torch.cache.teacher_output import StoredTeacher, TeacherOutput

__all__ = ["StoredTeacher", "TeacherCache", "TeacherOutput", "cache_teacher"]
