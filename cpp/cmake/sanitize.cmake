# Warnings for every target, and the sanitizers where they were asked for.
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  set(LMAPS_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion)
endif()

if(LMAPS_SANITIZE)
  add_compile_options(-fsanitize=${LMAPS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${LMAPS_SANITIZE})
endif()
