"""`ostensor demo`: a real head MR and a made torso CT, asked by words through MCP, with a page to look at."""
